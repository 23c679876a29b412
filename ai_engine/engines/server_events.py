"""Server-sent events, line by line, as chat servers stream their answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping


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
