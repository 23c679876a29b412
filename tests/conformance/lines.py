"""A switch to place calls on: the simulator, or a real FreeSWITCH, driven alike through its Event Socket.

Owns how a call arrives, what its caller does, and what an observer beside it sees. What is asked of a switch is the
scenarios'. The recorded switch, which plays a conversation back, is :mod:`tests.conformance.recorded`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from espeak.voice import wav
from simulator.arguments import inline_actions
from simulator.channel import Identity
from simulator.switch import Switch
from tests.conformance.client import Gateway, Peer, Peers, Received, gateway, listening
from tests.conformance.sip_agent import SipAgent, sip_agent

# What the recorder's own dialplan did when its socket had closed: a variable to ask for, a tone, the end.
GOES_ON = ("set:went_on=yes", "playback:tone_stream://%(400,0,440)", "hangup")
SOCKET = "socket:${conf_socket}"
BEFORE_A_SOCKET = ("set:socket_resume=true", "answer")
# A busy machine lets any process of ours wait so long, of the wall's time. What a scenario tells apart lies further away.
STALL_S = 2.0
Listening = AbstractAsyncContextManager[tuple[int, Peers]]


def inline(actions: Sequence[str]) -> str:
    """A dialplan as one word; the actions' own commas and spaces make ``^`` and variables necessary."""
    text = "m:^:" + "^".join(actions)
    assert " " not in text, "an inline dialplan is one word of a command"
    return text


class Agent(Protocol):
    """``address`` is ``name@host:port``, for ``sofia/internal/…``."""

    @property
    def address(self) -> str: ...

    async def hang_up(self) -> None: ...


class Line(ABC):
    """``speed``: how many of the switch's seconds pass in one of ours. ``late_s``: of its seconds, by how many what it does may
    be late because this machine is busy. A real one, and a recording, keep to the time that was measured there."""

    name: str
    host: str  # where the switch reaches this machine
    speed: float
    late_s = 0.0
    folder: Path  # which the switch reads too
    password = "ClueCon"  # of the control port

    @abstractmethod
    async def place(
        self,
        where: str,
        *,
        before: Sequence[str] = BEFORE_A_SOCKET,
        after: Sequence[str] = GOES_ON,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """A call arrives and is given to the ``socket`` at ``where`` (host list and mode). Its identifier."""

    @abstractmethod
    async def dial_in(self) -> Peer:
        """A new connection to the control port, not yet authorised."""

    @abstractmethod
    async def api(self, command: str) -> str:
        """By the control port, whatever the call's own sockets do."""

    @abstractmethod
    def sound(self, name: str, seconds: float) -> str:
        """The path of a WAV file of that length, readable for the switch."""

    def again(self) -> str:
        """What brings a call back to its ``socket`` when it is transferred there; quoted, for variables bring spaces."""
        return f"'{inline((*BEFORE_A_SOCKET, SOCKET, *GOES_ON))}' inline"

    def listening(self) -> Listening:
        return listening(host=self.host)

    def gateway(self) -> AbstractAsyncContextManager[Gateway]:
        return gateway(self.host)

    def where(self, *ports: int) -> str:
        return f"{'|'.join(f'{self.host}:{port}' for port in ports)} async full"

    @abstractmethod
    def agent(self, port: int = 0) -> AbstractAsyncContextManager[Agent]:
        """Somebody whom ``bridge`` reaches; ``port``: where they must be."""

    async def press(self, call_uuid: str, keys: str) -> None:
        """The caller presses these keys, one after the other."""
        for key in keys:
            await self.api(f"uuid_recv_dtmf {call_uuid} {key}")

    async def hang_up(self, call_uuid: str, cause: str = "NORMAL_CLEARING") -> None:
        await self.api(f"uuid_kill {call_uuid} {cause}")

    def now_s(self) -> float:
        """The switch's clock."""
        return time.time()

    async def second_begins(self) -> None:
        """Tasks by the clock are due on whole seconds: begin with one, so that the whole delay lies ahead."""
        await self.wait(1 - self.now_s() % 1)

    async def wait(self, seconds: float) -> None:
        """Let time pass on the switch: only where the point is that nothing happens meanwhile."""
        await asyncio.sleep(seconds / self.speed)


class ControlledLine(Line):
    """A switch with a control port. ``watch`` is a second connection that sees every call's events."""

    bridge_port: int  # where the deployed dialplan seeks a bridge
    agent_port: int  # and its agents

    def __init__(self, control: Peer, watch: Peer, folder: Path, place: tuple[str, int, str]) -> None:
        self.control, self.watch, self.folder = control, watch, folder
        self.control_place = place
        self.password = place[2]

    @abstractmethod
    async def arrive(self, destination: str) -> str:
        """A call arrives for an extension of the deployed dialplan."""

    @abstractmethod
    def ring(self, destination: str, display_name: str) -> None:
        """A caller of that name rings, as a telephone does. Whose call it is shows when it arrives."""

    async def dial_in(self) -> Peer:
        return Peer(*await asyncio.open_connection(*self.control_place[:2]))

    async def api(self, command: str) -> str:
        return await self.control.api(command)

    def sound(self, name: str, seconds: float) -> str:
        path = self.folder / f"{name}.wav"
        if not path.exists():
            samples = 6000 * np.sin(2 * np.pi * 440 / 8000 * np.arange(round(seconds * 8000)))
            path.write_bytes(wav(samples.astype("<i2").tobytes(), 8000))
            path.chmod(0o644)
        return str(path)

    async def seen(self, call_uuid: str, kind: str, *, since: int = 0) -> Received:
        """An event of this call, as the observer sees it."""
        return await self.watch.until(lambda m: m.kind() == kind and m.headers.get("Unique-ID") == call_uuid, since=since)

    @abstractmethod
    def has_run(self, command: str, trace: Path) -> bool:
        """Whether the switch ran a program that leaves ``trace``. The simulator only notes what it would have run."""

    @abstractmethod
    def agents_away(self) -> AbstractContextManager[None]:
        """Nobody answers a ``bridge`` meanwhile."""

    def events(self, call_uuid: str) -> list[Received]:
        return [m for m in self.watch.received if m.headers.get("Unique-ID") == call_uuid]

    async def seen_variable(self, call_uuid: str, name: str, wanted: str) -> Received:
        """The first event of this call in which a variable has that value."""
        return await self.watch.until(
            lambda m: m.headers.get("Unique-ID") == call_uuid and m.headers.get(f"variable_{name}") == wanted
        )


def seconds(event: Received) -> float:
    """When it happened, by the switch's own clock."""
    return int(event.headers["Event-Date-Timestamp"]) / 1_000_000


async def _control(host: str, port: int, password: str) -> Peer:
    peer = Peer(*await asyncio.open_connection(host, port))
    await peer.until_kind("auth/request")
    answer = await peer.send(f"auth {password}")
    assert answer.headers["Reply-Text"] == "+OK accepted", "FREESWITCH_ESL: the switch refuses this password"
    return peer


@contextlib.asynccontextmanager
async def controlled(host: str, port: int, password: str) -> AsyncIterator[tuple[Peer, Peer]]:
    control = await _control(host, port, password)
    watch = await _control(host, port, password)
    try:
        await watch.send("event plain all")
        yield control, watch
    finally:
        await control.close()
        await watch.close()


class SimulatedAgent:
    address = "agent@127.0.0.1:5090"

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    async def hang_up(self) -> None:
        (leg,) = self._switch.agent_legs.values()
        leg.hang_up("NORMAL_CLEARING")


class SimulatedLine(ControlledLine):
    name = "simulator"
    host = "127.0.0.1"

    agent_port = 5090

    def __init__(self, switch: Switch, control: Peer, watch: Peer, folder: Path) -> None:
        place = "127.0.0.1", switch.inbound_port, switch.config.password
        super().__init__(control, watch, folder, place)
        self.switch = switch
        self.bridge_port = int(switch.config.bridges.rpartition(":")[2])
        self.speed = switch.config.speed
        self.late_s = STALL_S * self.speed

    def now_s(self) -> float:
        return self.switch.clock.now_s()

    async def place(
        self,
        where: str,
        *,
        before: Sequence[str] = BEFORE_A_SOCKET,
        after: Sequence[str] = GOES_ON,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        identity = Identity(destination="9000", context="public")
        actions = inline_actions(inline((*before, SOCKET, *after)))
        values = {"conf_socket": where} | dict(variables or {})
        person = self.switch.answering("caller")
        return self.switch.place_call(identity, person, only=actions, variables=values).channel.uuid

    @contextlib.contextmanager
    def agents_away(self) -> Iterator[None]:
        there = self.switch.config
        self.switch.config = replace(there, agents=replace(there.agents, refused_ports=frozenset({self.agent_port})))
        yield
        self.switch.config = there

    def has_run(self, command: str, trace: Path) -> bool:
        return command in self.switch.system_commands

    @contextlib.asynccontextmanager
    async def agent(self, port: int = 0) -> AsyncIterator[Agent]:
        yield SimulatedAgent(self.switch)

    async def arrive(self, destination: str) -> str:
        return self.switch.place_call(Identity(destination=destination), self.switch.answering("caller")).channel.uuid

    def ring(self, destination: str, display_name: str) -> None:
        identity = Identity(destination=destination, caller_name=display_name)
        self.switch.place_call(identity, self.switch.answering("caller"))


class RealLine(ControlledLine):
    """What it dials for a caller must answer at once: ``null/…`` does. The control port presses the keys."""

    name = "real switch"
    speed = 1.0

    def __init__(self, control: Peer, watch: Peer, folder: Path, place: tuple[str, int, str], telephone: SipAgent) -> None:
        super().__init__(control, watch, folder, place)
        self.host = os.environ.get("FREESWITCH_LISTEN", "127.0.0.1")
        endpoint = os.environ.get("FREESWITCH_ENDPOINT", "null/caller")
        self.endpoint = f"sofia/internal/{telephone.address}" if endpoint == "sip" else endpoint
        self.telephone = telephone
        self.bridge_port = int(os.environ.get("FREESWITCH_BRIDGE_PORT", "8084"))
        self.agent_port = int(os.environ.get("FREESWITCH_AGENT_PORT", "5090"))
        self.placed: list[str] = []

    async def place(
        self,
        where: str,
        *,
        before: Sequence[str] = BEFORE_A_SOCKET,
        after: Sequence[str] = GOES_ON,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        values = {"conf_socket": where} | dict(variables or {})
        return await self._originate(values, f"{inline((*before, SOCKET, *after))} inline")

    def agents_away(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()  # an agent is there only while a scenario makes one

    def has_run(self, command: str, trace: Path) -> bool:
        return trace.exists()

    def agent(self, port: int = 0) -> AbstractAsyncContextManager[Agent]:
        return sip_agent(self.host, port)

    async def arrive(self, destination: str) -> str:
        # The agent's leg offers only the caller's codec, and a null channel's is no telephone's.
        codec = {"absolute_codec_string": "PCMA", "export_vars": "absolute_codec_string"}
        return await self._originate(codec, f"{destination} XML lifeline")

    def ring(self, destination: str, display_name: str) -> None:
        host, _, port = os.environ.get("FREESWITCH_SIP", "127.0.0.1:5060").rpartition(":")
        number = os.environ.get("FREESWITCH_NUMBER", destination)
        self.telephone.call(number, (host, int(port)), display_name)

    async def _originate(self, variables: Mapping[str, str], target: str) -> str:
        call_uuid = str(uuid.uuid4())
        listed = "".join(f",{name}='{value}'" for name, value in variables.items())
        self.placed.append(call_uuid)
        await self.control.send(f"bgapi originate {{origination_uuid={call_uuid}{listed}}}{self.endpoint} {target}")
        return call_uuid

    async def clean_up(self) -> None:
        """No call of a failed test is left to disturb the next."""
        for call_uuid in self.placed:
            await self.hang_up(call_uuid)
