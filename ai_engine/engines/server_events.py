"""Server-sent events, line by line, as chat servers stream their answers. Owns their form, not what they say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

# An answer's end follows its last event at once; whoever waits longer waits for nothing that is needed.
DRAIN_S = 0.1


def is_event_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")


class EventReader:
    """Fed with lines without their ends. Comments, identifiers and names of events are passed over: what is streamed
    here says in its data what it is.
    """

    def __init__(self) -> None:
        self._data: list[str] = []

    def feed(self, line: str) -> str | None:
        """The data of the event that this line completes."""
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        return None


async def drain(lines: AsyncIterator[str]) -> None:
    """Reads what follows the last event: a stream that is left before its end stays open on its connection."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in lines:
                pass
