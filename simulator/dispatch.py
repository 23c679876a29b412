"""Events of the switch: built as FreeSWITCH builds them, and brought to the connections that want them.

Owns the header blocks' order and who is asked. Whether a connection wants an event is :mod:`simulator.subscriptions`'.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Set
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from simulator import wire
from simulator.channel import Channel
from simulator.clock import Clock, microseconds, stamp
from simulator.events import ORIGINS, WITHOUT_VARIABLES, Block, Event, Headers, Origin

if TYPE_CHECKING:
    from simulator.listener import Listener

Blocks = tuple[Headers | Block, ...]
_NOBODY: Final[frozenset[Listener]] = frozenset()


@lru_cache(maxsize=4)
def _dates(unix_s: int) -> Block:
    return wire.encoded((("Event-Date-Local", stamp(unix_s)), ("Event-Date-GMT", formatdate(unix_s, usegmt=True))))


@lru_cache(maxsize=64)
def _origin(place: Origin) -> Block:
    return wire.encoded(
        (
            ("Event-Calling-File", place.file), ("Event-Calling-Function", place.function),
            ("Event-Calling-Line-Number", str(place.line)),
        )
    )  # fmt: skip


class Dispatcher:
    """Asks the connections of the event's own call, and those that may see other calls; never all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wide: set[Listener] = set()  # connections whom other calls' events may reach
        self._by_call: dict[str, set[Listener]] = {}
        self._sequence = 0
        self._switch = wire.encoded(
            (
                ("Core-UUID", str(uuid.uuid4())), ("FreeSWITCH-Hostname", "vm"), ("FreeSWITCH-Switchname", "fs-test"),
                ("FreeSWITCH-IPv4", "192.0.2.2"), ("FreeSWITCH-IPv6", "fd00::2"),
            )
        )  # fmt: skip

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
        extra: Headers | Callable[[], Headers] = (),
        *,
        lead: Headers = (),
        body: str = "",
        subclass: str = "",
    ) -> None:
        """``lead`` goes before the channel's own headers, ``extra`` after its variables, as recorded.

        ``extra`` as a function is asked only when somebody listens.
        """
        own = self._by_call.get(channel.uuid, _NOBODY)
        if not self._is_listed(name, subclass, own):
            self._sequence += 1
            return
        head = self._head(name, subclass)
        variables = () if name in WITHOUT_VARIABLES else channel.variables.block()
        after = extra() if callable(extra) else extra
        about = (channel.basic_headers(), channel.profile_headers("Caller"), variables, after)
        if name == "PRIVATE_COMMAND":  # which begins with the app's own headers, whatever they are
            self._deliver(Event(name, (lead, *head, *about), body, subclass), own)
        else:
            self._deliver(Event(name, (*head, lead, *about), body, subclass, channel.uuid), own)

    def _is_listed(self, name: str, subclass: str, own: Set[Listener]) -> bool:
        for listener in own:
            if listener.subscriptions.lists(name, subclass):
                return True
        for listener in self._wide:  # noqa: SIM110  asked at every event: a generator costs more than the answer
            if listener.subscriptions.lists(name, subclass):
                return True
        return False

    def fire_job(self, headers: Headers, answer: str, owner_uuid: str) -> None:
        """BACKGROUND_JOB: of no call, but its owner's connections are asked too."""
        head = self._head("BACKGROUND_JOB")
        self._deliver(Event("BACKGROUND_JOB", (*head, headers), answer), self._by_call.get(owner_uuid, _NOBODY))

    def _deliver(self, event: Event, own: Set[Listener]) -> None:
        for listener in own:
            listener.deliver(event)
        for listener in self._wide:
            if listener not in own:
                listener.deliver(event)

    def channel_data(self, channel: Channel, *, place: Origin | None = None) -> Event:
        """The reply to ``connect``; for ``uuid_dump``, which has no ``Channel-…`` profile, ``place`` says whence."""
        head = self._head("CHANNEL_DATA", origin=place)
        profile = () if place else channel.profile_headers("Channel")
        about = (profile, channel.basic_headers(), channel.profile_headers("Caller"), channel.variables.block())
        return Event("CHANNEL_DATA", (*head, *about))

    def _head(self, name: str, subclass: str = "", origin: Origin | None = None) -> Blocks:
        self._sequence += 1
        now_s = self._clock.now_s()
        names = (("Event-Name", name),)
        return (
            (("Event-Subclass", subclass), *names) if subclass else names, self._switch, _dates(int(now_s)),
            (("Event-Date-Timestamp", str(microseconds(now_s))),), _origin(origin or ORIGINS[name]),
            (("Event-Sequence", str(self._sequence)),),
        )  # fmt: skip
