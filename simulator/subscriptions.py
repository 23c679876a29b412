"""Which events one Event Socket connection gets: its event list, its filters, ``myevents``. Pure."""

from __future__ import annotations

from typing import Final

from simulator.events import EVENT_NAMES, Event

# mod_event_socket.c, `myevents`: no PLAYBACK_START, PLAYBACK_STOP, BACKGROUND_JOB or CUSTOM.
MY_EVENTS: Final = frozenset(
    {
        "CALL_UPDATE", "CHANNEL_ANSWER", "CHANNEL_APPLICATION", "CHANNEL_BRIDGE", "CHANNEL_CREATE", "CHANNEL_DATA",
        "CHANNEL_DESTROY", "CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HANGUP",
        "CHANNEL_HANGUP_COMPLETE", "CHANNEL_ORIGINATE", "CHANNEL_OUTGOING", "CHANNEL_PARK", "CHANNEL_PROGRESS",
        "CHANNEL_PROGRESS_MEDIA", "CHANNEL_STATE", "CHANNEL_UNBRIDGE", "CHANNEL_UNPARK", "CHANNEL_UUID",
        "DETECTED_SPEECH", "DTMF", "NOTALK", "TALK",
    }
)  # fmt: skip


class Subscriptions:
    """``own_uuid`` is the call of an outbound connection; ``myevents`` narrows everything to it."""

    def __init__(self, own_uuid: str = "") -> None:
        self.as_json = False
        self.own_uuid = own_uuid
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._all = False
        self._all_custom = False
        self._only_mine = False
        self._filters: list[tuple[str, str]] = []

    def wants(self, event: Event) -> bool:
        if event.name == "CUSTOM":
            if not (self._all or self._all_custom or event.subclass in self._subclasses):
                return False
        elif not (self._all or event.name in self._names):
            return False
        if self._only_mine and event.get("Unique-ID") != self.own_uuid:
            return False
        return self._passes_filters(event)

    def _passes_filters(self, event: Event) -> bool:
        """With filters, an event passes when one of them matches; ``-value`` takes away again."""
        if not self._filters:
            return True
        passes = False
        for header, wanted in self._filters:
            value = event.get(header)
            if value is None:
                continue
            if wanted.startswith("-"):
                passes = passes and wanted[1:] != value
            elif wanted.removeprefix("+") == value:
                passes = True
        return passes

    @property
    def sees_other_calls(self) -> bool:
        """False when nothing but the own call's events can pass: the switch then need not ask for the others."""
        if self._only_mine:
            return False
        return not self._filters or any(
            name.lower() not in ("unique-id", "job-owner-uuid") or value != self.own_uuid
            for name, value in self._filters
        )

    def my_events(self, argument: str) -> str:
        self._names |= MY_EVENTS
        self._only_mine = True
        self.as_json = "json" in argument.lower()
        return "+OK Events Enabled"

    def add(self, argument: str) -> str:
        """``event plain|json NAME … CUSTOM subclass …``"""
        words = argument.split()
        form = "plain"
        if words and words[0].lower() in ("plain", "json", "xml"):
            form = words.pop(0).lower()
        found = self._name_words(words)
        if not found:
            return "-ERR no keywords supplied"
        self.as_json = form == "json"
        return f"+OK event listener enabled {form}"

    def _name_words(self, words: list[str]) -> bool:
        found = custom = False
        for word in words:
            if custom:
                self._subclasses.add(word)
            elif word.upper() == "ALL":
                self._all = found = True
            elif word.upper() == "CUSTOM":
                custom = found = True
            elif word.upper() in EVENT_NAMES:
                self._names.add(word.upper())
                found = True
        if custom and words[-1].upper() == "CUSTOM":
            self._all_custom = True
        return found

    def remove(self, argument: str) -> str:
        """``nixevent NAME … CUSTOM subclass …``"""
        custom = False
        for word in argument.split():
            if custom:
                self._subclasses.discard(word)
            elif word.upper() == "CUSTOM":
                custom = True
            else:
                self._names.discard(word.upper())
        return "+OK events nixed"

    def clear(self) -> str:
        self._names.clear()
        self._subclasses.clear()
        self._all = self._all_custom = self._only_mine = False
        return "+OK no longer listening for events"

    def filter(self, argument: str) -> str:
        words = argument.split(None, 1)
        if not words:
            return "-ERR command not found"
        if words[0].lower() == "delete":
            return self._filter_delete(words[1] if len(words) > 1 else "")
        if len(words) < 2:
            return "-ERR invalid syntax"
        self._filters.append((words[0], words[1]))
        return f"+OK filter added. [{words[0]}]=[{words[1]}]"

    def _filter_delete(self, argument: str) -> str:
        header, _, value = argument.partition(" ")
        if header.lower() == "all":
            self._filters.clear()
        else:
            lowered = header.lower()
            self._filters = [
                (name, wanted)
                for name, wanted in self._filters
                if name.lower() != lowered or (value and wanted != value)
            ]
        return f"+OK filter deleted. [{header}]=[{value}]"
