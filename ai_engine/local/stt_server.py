"""Vosk server's WebSocket protocol on top of the recogniser pool, and how it breaks in demonstration mode.

Owns the wire: a ``config`` message, binary 8 kHz audio answered by ``{"partial": …}``, ``{"eof": 1}`` by ``{"text": …}``.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ai_engine.engines.config import Stage
from ai_engine.local.faults import DELAY_S, FaultWatch, Mode
from ai_engine.local.recogniser_pool import RecogniserDiedError, RecogniserPool, Stream
from ai_engine.messages import AUDIO_RATE_HZ, INTENT
from callflows.definition.errors import UNREADABLE

log = structlog.get_logger(__name__)

# A minute of speech is no sentence: whoever sends more must not hold a decoder.
MAX_STREAM_BYTES = 60 * AUDIO_RATE_HZ * 2
# Chunks come every tenth of a second; whoever is silent this long has gone, and holds a decoder.
IDLE_S = 10.0
BAD_DATA, TOO_BIG, BROKEN, BUSY = 1003, 1009, 1011, 1013
GARBAGE = "\x00\x07this is not the protocol"


class _Word(msgspec.Struct):
    word: str
    conf: float


class _Partial(msgspec.Struct):
    partial: str


class _Final(msgspec.Struct):
    text: str
    result: list[_Word] = []


class _Config(msgspec.Struct):
    """``expect`` is ours: what the caller was asked for. Vosk's server passes over what it does not know."""

    sample_rate: float = AUDIO_RATE_HZ
    expect: str = INTENT


class _Control(msgspec.Struct):
    config: _Config | None = None
    eof: int | None = None


class VoskServer:
    """:meth:`handle` is the handler of a ``websockets`` server."""

    def __init__(self, pool: RecogniserPool, faults: FaultWatch) -> None:
        self._pool = pool
        self._faults = faults

    async def handle(self, socket: ServerConnection) -> None:
        stream = await self._pool.open()
        if stream is None:
            log.warning("no_decoder_free")
            await socket.close(BUSY, "every decoder is taken")
            return
        try:
            await self._talk(socket, stream)
        except (ConnectionClosed, TimeoutError):
            pass  # gone, or silent for too long: either way nobody waits for words
        except RecogniserDiedError:
            log.error("recogniser_lost")
            await socket.close(BROKEN, "the recogniser stopped")
        finally:
            stream.close()

    async def _talk(self, socket: ServerConnection, stream: Stream) -> None:
        heard_bytes, expect = 0, INTENT
        while True:
            async with asyncio.timeout(IDLE_S):
                message = await socket.recv()
            if isinstance(message, bytes):
                heard_bytes += len(message)
                if heard_bytes > MAX_STREAM_BYTES:
                    await socket.close(TOO_BIG, "more than a minute of audio")
                    return
                words = await stream.hear(message)
                await self._send(socket, _Partial(words), _Partial(""))
                continue
            control = _control(message)
            if control is None or (control.config and control.config.sample_rate != AUDIO_RATE_HZ):
                await socket.close(BAD_DATA, f"use JSON with eof, or config with sample_rate {AUDIO_RATE_HZ}")
                return
            if control.config:
                expect = control.config.expect
            if control.eof:
                text, words_heard = await stream.finish(expect)
                log.info("utterance_recognised", audio_ms=heard_bytes * 500 // AUDIO_RATE_HZ, pii_transcript=text)
                said = _Final(text, [_Word(word, round(confidence, 3)) for word, confidence in words_heard])
                if await self._send(socket, said, _Final("")):
                    return

    async def _send(self, socket: ServerConnection, answer: msgspec.Struct, silent: msgspec.Struct) -> bool:
        """The answer, or what the fault in force makes of it. False when it hangs: nothing was sent."""
        mode = self._faults.mode_for(Stage.STT)
        if mode is Mode.DELAY:
            await asyncio.sleep(DELAY_S)
        match mode:
            case Mode.HANG:
                return False
            case Mode.REFUSE:
                socket.transport.abort()
            case Mode.ERROR:
                await socket.close(BROKEN, "told to break")
            case Mode.GARBAGE:
                await socket.send(GARBAGE)
            case _:
                text = silent if mode is Mode.SILENT else answer
                await socket.send(msgspec.json.encode(text).decode())
        return True


def _control(message: str) -> _Control | None:
    with contextlib.suppress(*UNREADABLE):
        return msgspec.json.decode(message, type=_Control)
    return None
