"""The last exchanges of a call as bytes, for the bridge that resumes it. Pure; what keeps them secret is ``sealing.py``.

What does not fit goes, the oldest first; of a newest exchange that does not fit alone, its beginning is kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from ai_engine.messages import Exchange
from callflows.definition.errors import UNREADABLE
from callflows.definition.kept import HISTORY_BYTES, PREFIX

CALLER, LIFELINE = "caller", "lifeline"
# The model needs the last few exchanges, and more would not fit.
HISTORY_LENGTH = 6
# The channel variables, and what sealing adds; in base64 three bytes are four characters.
PARTS = ("said_1", "said_2")
NONCE_BYTES, TAG_BYTES = 12, 16
PACKED_MOST = (HISTORY_BYTES - sum(len(PREFIX + name) for name in PARTS)) * 3 // 4 - NONCE_BYTES - TAG_BYTES
# Raw deflate: no header, no checksum; the seal around it has a better one.
WINDOW = -15
# Far more than ever goes in: what comes back is bounded whoever wrote it.
UNPACKED_MOST = 1 << 16

_Said = list[tuple[bool, str]]
_decoder = msgspec.msgpack.Decoder(_Said)


def pack(history: Sequence[Exchange], most: int = PACKED_MOST) -> bytes:
    """At most ``most`` bytes; none for an empty history."""
    kept = list(history[-HISTORY_LENGTH:])
    while kept:
        packed = _packed(kept)
        if len(packed) <= most:
            return packed
        if len(kept) > 1:
            del kept[0]
        else:
            words = kept[0].words[: len(kept[0].words) // 2]
            kept = [Exchange(kept[0].who, words)] if words else []
    return b""


def unpack(packed: bytes) -> tuple[Exchange, ...]:
    """What :func:`pack` kept. Anything else gives nothing: a call without its history goes on all the same."""
    try:
        said = _decoder.decode(zlib.decompressobj(WINDOW).decompress(packed, UNPACKED_MOST))
    except (zlib.error, ValueError, *UNREADABLE):
        return ()
    return tuple(Exchange(CALLER if is_caller else LIFELINE, words) for is_caller, words in said[-HISTORY_LENGTH:])


def _packed(history: Sequence[Exchange]) -> bytes:
    compressor = zlib.compressobj(9, wbits=WINDOW)
    data = msgspec.msgpack.encode([(one.who == CALLER, one.words) for one in history])
    return compressor.compress(data) + compressor.flush()
