"""One leg of a call as FreeSWITCH sees it: identity, states, variables, and the headers it puts into events.

Owns the data and its names as recorded. Decides nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Final

from simulator import wire
from simulator.call_variables import initial_variables
from simulator.clock import microseconds
from simulator.events import Block, Headers
from simulator.expand import would_expand
from simulator.messages import Move
from simulator.variables import Variables


class ChannelState(StrEnum):
    NEW = "CS_NEW"
    INIT = "CS_INIT"
    ROUTING = "CS_ROUTING"
    EXECUTE = "CS_EXECUTE"
    HANGUP = "CS_HANGUP"
    REPORTING = "CS_REPORTING"


STATE_NUMBERS: Final = {
    ChannelState.NEW: 0,
    ChannelState.INIT: 2,
    ChannelState.ROUTING: 2,
    ChannelState.EXECUTE: 4,
    ChannelState.HANGUP: 10,
    ChannelState.REPORTING: 11,
}

_ARRAY: Final = "ARRAY::"
_TRANSFERS_LEFT: Final = ("max_session_transfers", "max_forwards")
_MOST_TRANSFERS: Final = 70


@dataclass(slots=True)
class Identity:
    """Who calls what, and where from. Values are made up; their names and sizes are as recorded."""

    caller_name: str = "sipp"
    caller_number: str = "1000"
    destination: str = "9200"
    context: str = "lifeline"
    dialplan: str = "XML"
    address: str = "127.0.0.1"
    port: int = 5075
    direction: str = "inbound"
    source: str = "mod_sofia"
    transfer_source: str = ""
    rdnis: str = ""
    profile_index: int = 1
    callee_name: str = ""
    callee_number: str = ""


@dataclass(slots=True)
class Channel:
    identity: Identity
    created_s: float
    session_number: int
    uuid: str
    state: ChannelState = ChannelState.INIT
    running_state: ChannelState = ChannelState.INIT
    call_state: str = "DOWN"
    answer_state: str = "ringing"
    hangup_cause: str = ""
    caller_went: bool = False  # as opposed to a call that the switch ended
    leg_holding: bool = False  # as their telephone has it; outlives transfers, unlike the call state
    hold_is_marked: bool = False  # for the end of it to be told; a transfer clears it without a word
    answered_s: float = 0.0
    progress_s: float = 0.0
    bridged_s: float = 0.0
    hangup_s: float = 0.0
    profile_created_s: float = 0.0
    digits_dialed: str = ""
    other_leg_uuid: str = ""
    bytes_heard: int = 0
    variables: Variables = field(init=False)
    _basics: tuple[object, Block] | None = None
    _profile: tuple[object, Headers, str] | None = None
    _profiles: dict[str, Block] = field(default_factory=dict)  # by the prefix of their names

    def __post_init__(self) -> None:
        self.profile_created_s = self.created_s
        found = initial_variables(self)
        self.variables = Variables({name: value for name, value in found.items() if not would_expand(value)})

    @property
    def name(self) -> str:
        who = self.identity
        if who.source == "mod_loopback":
            return f"null/{who.caller_number}"
        user = who.caller_number if who.direction == "inbound" else who.destination
        return f"sofia/internal/{user}@{who.address}:{who.port}"

    @property
    def is_hung_up(self) -> bool:
        return bool(self.hangup_cause)

    def set(self, name: str, value: str | None) -> None:
        """An empty value removes, as switch_channel_set_variable does; a changed one moves to the end."""
        self.variables.put(name, value)

    def add(self, name: str, value: str) -> None:
        """One more value under a name, as ``ARRAY::one|:two``."""
        old = self.variables.get(name)
        self.set(name, value if not old else f"{old if old.startswith(_ARRAY) else _ARRAY + old}|:{value}")

    def get(self, name: str) -> str:
        """A variable, or a field of the caller's profile, which FreeSWITCH answers under the same names."""
        value = self.variables.get(name)
        if value:
            return value
        field_of = _PROFILE.get(name)
        return "" if field_of is None else str(field_of(self))

    def basic_headers(self) -> Block:
        """The same object as before while nothing of it has changed, like all three: most events repeat them."""
        key = _basics_of(self)
        if self._basics is None or self._basics[0] != key:
            self._basics = (key, wire.encoded(tuple(self._basic_headers())))
        return self._basics[1]

    def _basic_headers(self) -> Iterator[tuple[str, str]]:
        yield "Channel-State", self.running_state.value
        yield "Channel-Call-State", self.call_state
        yield "Channel-State-Number", str(STATE_NUMBERS[self.state])
        yield "Channel-Name", self.name
        yield "Unique-ID", self.uuid
        yield "Call-Direction", self.identity.direction
        yield "Presence-Call-Direction", self.identity.direction
        yield "Channel-HIT-Dialplan", "true" if self.identity.direction == "inbound" else "false"
        yield "Channel-Call-UUID", self.variables.get("call_uuid", self.uuid)
        yield "Answer-State", "hangup" if self.is_hung_up else self.answer_state
        if self.hangup_cause:
            yield "Hangup-Cause", self.hangup_cause
        for side in ("Read", "Write"):
            yield f"Channel-{side}-Codec-Name", "PCMA"
            yield f"Channel-{side}-Codec-Rate", "8000"
            yield f"Channel-{side}-Codec-Bit-Rate", "64000"

    def profile_headers(self, prefix: str) -> Block:
        """``Caller-…``, ``Channel-…`` (in the reply to ``connect``) or ``Other-Leg-…``."""
        key = (_IDENTITY(self.identity), _MOMENTS(self))
        if self._profile is None or self._profile[0] != key:
            bare = tuple(self._profile_headers())
            self._profile = (key, bare, wire.header_lines(bare))
            self._profiles.clear()
        block = self._profiles.get(prefix)
        if block is None:
            _key, headers, text = self._profile
            prefixed = f"{prefix}-" + text[:-1].replace("\n", f"\n{prefix}-") + "\n"
            block = self._profiles[prefix] = Block(prefixed, lambda: ((f"{prefix}-{name}", value) for name, value in headers))
        return block

    def _profile_headers(self) -> Iterator[tuple[str, str]]:
        who = self.identity
        yield "Direction", who.direction
        yield "Logical-Direction", who.direction
        yield "Username", who.caller_number
        yield "Dialplan", who.dialplan
        yield "Caller-ID-Name", who.caller_name
        yield "Caller-ID-Number", who.caller_number
        yield "Orig-Caller-ID-Name", who.caller_name
        yield "Orig-Caller-ID-Number", who.caller_number
        if who.callee_number:
            yield "Callee-ID-Name", who.callee_name
            yield "Callee-ID-Number", who.callee_number
        yield "Network-Addr", who.address
        yield "ANI", who.caller_number
        yield "Destination-Number", who.destination
        yield "Unique-ID", self.uuid
        yield "Source", who.source
        if who.transfer_source:
            yield "Transfer-Source", who.transfer_source
        yield "Context", who.context
        if who.rdnis:
            yield "RDNIS", who.rdnis
        yield "Channel-Name", self.name
        yield "Profile-Index", str(who.profile_index)
        yield from self._times()
        yield "Screen-Bit", "true"
        yield "Privacy-Hide-Name", "false"
        yield "Privacy-Hide-Number", "false"

    def _times(self) -> Iterator[tuple[str, str]]:
        times = {
            "Profile-Created": self.profile_created_s,
            "Channel-Created": self.created_s,
            "Channel-Answered": self.answered_s,
            "Channel-Progress": self.progress_s,
            "Channel-Progress-Media": self.answered_s,
            "Channel-Hangup": self.hangup_s,
            "Channel-Transfer": 0.0,
            "Channel-Resurrect": 0.0,
            "Channel-Bridged": self.bridged_s,
        }
        for name, unix_s in times.items():
            yield f"{name}-Time", str(microseconds(unix_s))
        yield "Channel-Last-Hold", "0"
        yield "Channel-Hold-Accum", "0"

    def variable_headers(self) -> Headers:
        """Of its variables, as pairs; :meth:`Variables.block` has them for an event."""
        return self.variables.block().headers

    def may_move(self) -> bool:
        """Each transfer takes one of the first of these that is set, and for the last one the call is hung up."""
        name = next((name for name in _TRANSFERS_LEFT if self.variables.get(name)), _TRANSFERS_LEFT[-1])
        left = self.variables.get(name, "")
        left_now = int(left) - 1 if left else _MOST_TRANSFERS
        if left_now <= 0:
            return False
        self.set(name, str(left_now))
        return True

    def move(self, to: Move, now_s: float, transfer_source: str) -> None:
        """A transfer's new profile of the caller."""
        who = self.identity
        who.rdnis = who.destination
        who.destination, who.dialplan, who.context = to.destination, to.dialplan, to.context
        who.transfer_source = transfer_source
        who.profile_index += 1
        self.profile_created_s = now_s
        self.state = ChannelState.ROUTING
        self.set("transfer_history", transfer_source)
        self.set("transfer_source", transfer_source)


# What FreeSWITCH answers of a caller's profile under the names of variables.
_PROFILE: Final = {
    "destination_number": attrgetter("identity.destination"),
    "caller_id_number": attrgetter("identity.caller_number"),
    "caller_id_name": attrgetter("identity.caller_name"),
    "ani": attrgetter("identity.caller_number"),
    "context": attrgetter("identity.context"),
    "dialplan": attrgetter("identity.dialplan"),
    "network_addr": attrgetter("identity.address"),
    "rdnis": attrgetter("identity.rdnis"),
    "source": attrgetter("identity.source"),
    "username": attrgetter("identity.caller_number"),
    "chan_name": attrgetter("name"),
    "channel_name": attrgetter("name"),
    "uuid": attrgetter("uuid"),
    "state": attrgetter("running_state.value"),
}
# All that the headers are made of.
_IDENTITY: Final = attrgetter(*(one.name for one in fields(Identity)))
_MOMENTS: Final = attrgetter(
    "uuid", "profile_created_s", "created_s", "answered_s", "progress_s", "hangup_s", "bridged_s"
)
_CALL: Final = attrgetter(
    "running_state", "call_state", "state", "uuid", "hangup_cause", "answer_state", "identity.direction", "identity.source",
    "identity.caller_number", "identity.destination", "identity.address", "identity.port",
)  # fmt: skip


def _basics_of(channel: Channel) -> object:
    return _CALL(channel), channel.variables.get("call_uuid")
