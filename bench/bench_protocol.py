"""How many events of FreeSWITCH one core reads: framed, and with the three headers that a call's decisions need."""

from __future__ import annotations

import time
from collections.abc import Iterator

from esl_bridge.protocol.reader import Reader

EVENTS = 20_000
# About as large as a recorded CHANNEL_EXECUTE_COMPLETE, 120 headers, values percent-encoded.
FILLER = "".join(f"variable_filler_{number:03}: some%20value%2C%20as%20long%20as%20most\n" for number in range(120))
BODY = f"Event-Name: CHANNEL_EXECUTE_COMPLETE\nUnique-ID: 1a2b\n{FILLER}Application: playback\n\n".encode()
MESSAGE = f"Content-Length: {len(BODY)}\nContent-Type: text/event-plain\n\n".encode() + BODY
# What one read of a busy socket returns.
PIECE = 64 * 1024


def run() -> Iterator[tuple[str, str]]:
    stream = MESSAGE * EVENTS
    pieces = [stream[start : start + PIECE] for start in range(0, len(stream), PIECE)]
    for what, names in (("framed", ()), ("framed, three headers read", ("Event-Name", "Unique-ID", "Application"))):
        reader = Reader()
        count = 0
        began_s = time.process_time()
        for piece in pieces:
            for message in reader.feed(piece):
                event = message.event() if names else None
                for name in names:
                    assert event is not None
                    event.get(name)
                count += 1
        took_s = time.process_time() - began_s
        assert count == EVENTS
        yield f"events of {len(MESSAGE)} bytes {what}, a second of CPU", f"{count / took_s:,.0f}"
