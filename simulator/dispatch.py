"""Events of the switch: built as FreeSWITCH builds them, and brought to the connections that want them.

Owns the header blocks' order and who is asked. Whether a connection wants an event is :mod:`simulator.subscriptions`'.
"""

from __future__ import annotations

import uuid
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from simulator.channel import Channel, microseconds, stamp
from simulator.clock import Clock
from simulator.events import ORIGINS, WITHOUT_VARIABLES, Event, Headers, Origin

if TYPE_CHECKING:
    from simulator.listener import Listener

@lru_cache(maxsize=4)
def _dates(unix_s: int) -> Headers:
    return ("Event-Date-Local", stamp(unix_s)), ("Event-Date-GMT", formatdate(unix_s, usegmt=True))


class Dispatcher:
    """Asks the connections of the event's own call, and those that may see other calls; never all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wide: set[Listener] = set()  # connections whom other calls' events may reach
        self._by_call: dict[str, set[Listener]] = {}
        self._sequence = 0
        self._core_uuid = str(uuid.uuid4())

    def reindex(self, listener: Listener) -> None:
        """Where to look for ``listener`` when an event fires; called when its subscriptions change."""
        if listener.own_uuid:
            self._by_call.setdefault(listener.own_uuid, set()).add(listener)
        if listener.subscriptions.sees_other_calls():
            self._wide.add(listener)
        else:
            self._wide.discard(listener)

    def detach(self, listener: Listener) -> None:
        self._wide.discard(listener)
        mine = self._by_call.get(listener.own_uuid, set())
        mine.discard(listener)
        if not mine:
            self._by_call.pop(listener.own_uuid, None)

    def has_listener(self, call_uuid: str) -> bool:
        return bool(self._by_call.get(call_uuid))

    def fire(
        self,
        name: str,
        channel: Channel,
        extra: Headers = (),
        *,
        lead: Headers = (),
        body: str = "",
        subclass: str = "",
    ) -> None:
        """``lead`` goes before the channel's own headers, ``extra`` after its variables, as recorded."""
        own = self._by_call.get(channel.uuid, ())
        if not any(listener.subscriptions.lists(name, subclass) for listeners in (own, self._wide) for listener in listeners):
            self._sequence += 1
            return
        head = self._head(name, subclass)
        variables = () if name in WITHOUT_VARIABLES else channel.variable_headers()
        if name == "PRIVATE_COMMAND":
            head, lead = (*lead, *head), ()
        blocks = (head, lead, channel.basic_headers(), channel.profile_headers("Caller"), variables, extra)
        self._deliver(Event(name, blocks, body, subclass), channel.uuid)

    def fire_job(self, headers: Headers, answer: str, owner_uuid: str) -> None:
        """BACKGROUND_JOB: of no call, but its owner's connections are asked too."""
        self._deliver(Event("BACKGROUND_JOB", (self._head("BACKGROUND_JOB"), headers), answer), owner_uuid)

    def _deliver(self, event: Event, call_uuid: str) -> None:
        own = self._by_call.get(call_uuid, set())
        for listener in [*own, *(self._wide - own)]:
            listener.deliver(event)

    def channel_data(self, channel: Channel, *, place: Origin | None = None) -> Event:
        """The reply to ``connect``; for ``uuid_dump``, which has no ``Channel-…`` profile, ``place`` says whence."""
        head = self._head("CHANNEL_DATA", origin=place)
        profile = () if place else channel.profile_headers("Channel")
        blocks = (head, profile, channel.basic_headers(), channel.profile_headers("Caller"), channel.variable_headers())
        return Event("CHANNEL_DATA", blocks)

    def _head(self, name: str, subclass: str = "", origin: Origin | None = None) -> Headers:
        self._sequence += 1
        now_s = self._clock.now_s()
        place = origin or ORIGINS[name]
        first = (("Event-Subclass", subclass),) if subclass else ()
        return (
            *first, ("Event-Name", name), ("Core-UUID", self._core_uuid), ("FreeSWITCH-Hostname", "vm"),
            ("FreeSWITCH-Switchname", "fs-test"), ("FreeSWITCH-IPv4", "192.0.2.2"), ("FreeSWITCH-IPv6", "fd00::2"),
            *_dates(int(now_s)),
            ("Event-Date-Timestamp", str(microseconds(now_s))), ("Event-Calling-File", place.file),
            ("Event-Calling-Function", place.function), ("Event-Calling-Line-Number", str(place.line)),
            ("Event-Sequence", str(self._sequence)),
        )  # fmt: skip
