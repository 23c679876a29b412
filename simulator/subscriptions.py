"""Which events one Event Socket connection gets: its event list, its filters, ``myevents``. Pure.

The rules are mod_event_socket.c's `event_handler`.
"""

from __future__ import annotations

import re
from typing import Final

from simulator.events import EVENT_NAMES, Event

# mod_event_socket.c, `myevents`: no PLAYBACK_START, PLAYBACK_STOP, BACKGROUND_JOB or CUSTOM.
MY_EVENTS: Final = frozenset(
    {
        "CHANNEL_ANSWER", "CHANNEL_APPLICATION", "CHANNEL_BRIDGE", "CHANNEL_CREATE", "CHANNEL_DATA",
        "CHANNEL_DESTROY", "CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HANGUP",
        "CHANNEL_HANGUP_COMPLETE", "CHANNEL_ORIGINATE", "CHANNEL_OUTGOING", "CHANNEL_PARK", "CHANNEL_PROGRESS",
        "CHANNEL_PROGRESS_MEDIA", "CHANNEL_STATE", "CHANNEL_UNBRIDGE", "CHANNEL_UNPARK", "CHANNEL_UUID",
        "DETECTED_SPEECH", "DTMF", "NOTALK", "TALK",
    }
)  # fmt: skip
_NO_KEYWORDS: Final = "-ERR no keywords supplied"


class Subscriptions:
    """``own_uuid`` is the call of an outbound connection; ``myevents`` narrows everything to it, for good."""

    def __init__(self, own_uuid: str = "") -> None:
        self.as_json = False
        self.own_uuid = own_uuid
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._all = False
        self._only_mine = False
        self._filters: list[tuple[str, str]] = []
        self._giving: list[tuple[str, str]] = []  # of the filters, and those that take events away
        self._taking: list[tuple[str, str]] = []

    def wants(self, event: Event) -> bool:
        if not self.lists(event.name, event.subclass):
            return False
        passes = self._passes_filters(event)
        if not self._only_mine:
            return passes
        if passes and event.get("Unique-ID") == self.own_uuid:
            return True
        return event.get("Job-Owner-UUID") == self.own_uuid  # whatever the filters say

    def lists(self, name: str, subclass: str) -> bool:
        """Whether an event of that name may pass at all: an event that nobody lists need not be made."""
        if self._all:
            return True
        return subclass in self._subclasses if name == "CUSTOM" else name in self._names

    def _passes_filters(self, event: Event) -> bool:
        """With filters, an event passes when one of them matches; a matching ``-value`` takes it away again."""
        if not self._filters:
            return True

        def matches(one: tuple[str, str]) -> bool:
            value = event.get(one[0])
            return value is not None and _matches(one[1], value)

        # A call's own identifier is mostly the first, and no other header is then looked for.
        return any(map(matches, self._giving)) and not any(map(matches, self._taking))

    def sees_other_calls(self) -> bool:
        """False when nothing but the own call's events can pass: the switch then need not ask for the others."""
        if self._only_mine or not (self._all or self._names or self._subclasses):
            return False
        return not self._filters or any(
            name.lower() not in ("unique-id", "job-owner-uuid") or value != self.own_uuid
            for name, value in self._filters
        )

    def my_events(self, argument: str) -> str:
        if self._only_mine:
            return "-ERR aready enabled."  # spelt as FreeSWITCH spells it
        self._names |= MY_EVENTS
        self._only_mine = True
        self.as_json = self.as_json or "json" in argument.lower()
        return "+OK Events Enabled"

    def add(self, argument: str) -> str:
        """``event plain|json NAME … CUSTOM subclass …``"""
        words = argument.split()
        form = words.pop(0).lower() if words and words[0].lower() in ("plain", "json", "xml") else "plain"
        names, subclasses = _keywords(words)
        if not names:
            return _NO_KEYWORDS
        self._all = self._all or "ALL" in names
        self._names |= names
        self._subclasses |= subclasses
        self.as_json = form == "json"
        return f"+OK event listener enabled {form}"

    def remove(self, argument: str) -> str:
        """``nixevent NAME … CUSTOM subclass …``"""
        names, subclasses = _keywords(argument.split())
        if not names:
            return _NO_KEYWORDS
        if "ALL" in names:
            self._all = False
            self._names.clear()
        elif self._all:
            self._all = False
            self._names |= EVENT_NAMES - {"ALL"}
        self._names -= names - ({"CUSTOM"} if subclasses else set())
        self._subclasses -= subclasses
        return "+OK events nixed"

    def clear(self) -> str:
        """``noevents``; filters and ``myevents``' narrowing stay."""
        if not (self._all or self._names or self._subclasses):
            return "-ERR not listening for events"
        self._names.clear()
        self._subclasses.clear()
        self._all = False
        return "+OK no longer listening for events"

    def filter(self, argument: str) -> str:
        header, _, value = argument.partition(" ")
        if not header:
            return "-ERR command not found"
        if header.lower() == "delete" and value:
            return self._filter_delete(value)
        if header.lower() == "add":
            header, _, value = value.partition(" ")
        if not value:
            return "-ERR invalid syntax"
        self._set_filters([*self._filters, (header, value)])
        return f"+OK filter added. [{header}]=[{value}]"

    def _filter_delete(self, argument: str) -> str:
        header, _, value = argument.partition(" ")
        self._set_filters(
            [
                (name, wanted)
                for name, wanted in self._filters
                if header.lower() != "all" and (name.lower() != header.lower() or (value and wanted != value))
            ]
        )
        return f"+OK filter deleted. [{header}][{value}]"

    def _set_filters(self, filters: list[tuple[str, str]]) -> None:
        self._filters = filters
        self._giving = [one for one in filters if not one[1].startswith("-")]
        self._taking = [one for one in filters if one[1].startswith("-")]


def _keywords(words: list[str]) -> tuple[set[str], set[str]]:
    """Event names (upper case) and, behind CUSTOM, subclasses."""
    names: set[str] = set()
    subclasses: set[str] = set()
    for word in words:
        if "CUSTOM" in names:
            subclasses.add(word)
        elif word.upper() in EVENT_NAMES:
            names.add(word.upper())
    return names, subclasses


def _matches(wanted: str, value: str) -> bool:
    bare = wanted.lstrip("+- ")
    if wanted.startswith("/"):
        try:
            return re.search(bare.strip("/"), value) is not None
        except re.error:
            return False
    return bare.lower() == value.lower()
