"""The simulated FreeSWITCH: its calls, its Event Socket peers, its globals, and the ways they meet.

Owns what exists at a moment and who hears of an event. What a call does is :mod:`simulator.session`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import structlog

from simulator.api_commands import API_COMMANDS
from simulator.applications import APPLICATIONS
from simulator.arguments import inline_actions
from simulator.bridging import AgentLeg
from simulator.channel import Channel, Identity
from simulator.clock import Clock
from simulator.config import SwitchConfig
from simulator.dialplan import Action, Dialplan, included_files, load_dialplan
from simulator.dispatch import Dispatcher
from simulator.errors import SimulatorError
from simulator.events import Headers
from simulator.expand import defuse, expand
from simulator.line import FarEnd, Microphone
from simulator.listener import Listener
from simulator.scheduler import Scheduler
from simulator.session import Application, Session

log = structlog.get_logger(__name__)
Person = Callable[[Session], FarEnd]
EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


class Switch:
    def __init__(self, config: SwitchConfig, answering: Callable[[str], Person] | None = None) -> None:
        self.config = config
        self.clock = Clock(config.speed)
        self.scheduler = Scheduler(self.clock)
        self.sessions: dict[str, Session] = {}
        self.agent_legs: dict[str, AgentLeg] = {}
        self.held_dead: dict[str, Session] = {}
        self.system_commands: list[str] = []
        self.is_stopping = False
        self.unreached: set[str] = set()
        """Where no app answered a call, and why, since one last did."""
        self.started_s = self.clock.now_s()
        self.sessions_since_startup = 0
        self.peak_sessions = 0
        first, *others = config.bridges.split("|")
        self.variables = {
            "lifeline_bridges": config.bridges,
            "lifeline_bridges_next": "|".join([*others, first]),
            "sounds_dir": str(config.sound_dir),
        }
        self.variables |= dict(config.variables)
        self.answering = answering or (lambda _name: _nobody)
        self._dialplan: Dialplan = load_dialplan(config.dialplan, self.variables)
        self.dispatcher = Dispatcher(self.clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    # --- life -------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open the inbound Event Socket, if there is to be one. Raises :class:`SimulatorError` when it is taken."""
        if self.config.inbound_port is None:
            return
        host, port = self.config.inbound_host, self.config.inbound_port
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as error:
            place = f"{host}:{port}"
            raise SimulatorError(f"the switch's Event Socket cannot listen on {place}: {error.strerror}") from error

    @property
    def inbound_port(self) -> int:
        if self._server is None:
            raise SimulatorError("the switch has no inbound Event Socket")
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Hang up every call and end every task. Safe to call twice."""
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        for session in list(self.sessions.values()):
            await session.close()
        await self.scheduler.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """A task that :meth:`stop` ends; what it raises is logged, and ends nothing else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_over)
        return task

    def _spawned_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("simulator_task_failed", exc_info=error)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Waited for, not awaited: asyncio's own callback reports a cancelled one as a fault.
        await asyncio.wait([self.spawn(Listener(self, reader, writer).serve())])

    # --- calls ------------------------------------------------------------------------------------------------------
    @property
    def session_count(self) -> int:
        return len(self.sessions) + len(self.agent_legs) + len(self.held_dead)

    def new_channel(self, identity: Identity, call_uuid: str = "") -> Channel:
        self.sessions_since_startup += 1
        channel = Channel(identity, self.clock.now_s(), self.sessions_since_startup, call_uuid or str(uuid.uuid4()))
        identity.caller_name, identity.caller_number = defuse(identity.caller_name), defuse(identity.caller_number)
        return channel

    def place_call(
        self,
        identity: Identity,
        person: Person,
        *,
        only: Sequence[Action] = (),
        call_uuid: str = "",
        variables: Mapping[str, str] = EMPTY,
    ) -> Session:
        """A call arrives; it enters the dialplan at once (or runs ``only`` these applications)."""
        channel = self.new_channel(identity, call_uuid)
        channel.variables |= variables
        session = Session(self, channel, _NOBODY, Microphone(), only)
        session.far_end = person(session)
        self.sessions[channel.uuid] = session
        self.peak_sessions = max(self.peak_sessions, self.session_count)
        self.fire("CHANNEL_CREATE", channel)
        session.start()
        return session

    def located(self, call_uuid: str) -> Session | None:
        """As commands find a call: one that is hung up is none, also while its end has not been told yet."""
        session = self.sessions.get(call_uuid)
        return None if session is None or session.channel.is_hung_up else session

    def remove(self, session: Session) -> None:
        """The call has ended. While an app still holds a socket of it, it stays in ``show channels`` all the same."""
        self.sessions.pop(session.channel.uuid, None)
        if self.dispatcher.has_listener(session.channel.uuid):
            self.held_dead[session.channel.uuid] = session
        self.scheduler.delete(session.channel.uuid)

    def attach(self, listener: Listener) -> None:
        self.dispatcher.reindex(listener)

    def detach(self, listener: Listener) -> None:
        self.dispatcher.detach(listener)
        if not self.dispatcher.has_listener(listener.own_uuid):
            self.held_dead.pop(listener.own_uuid, None)

    def answer(self, session: Session) -> None:
        channel = session.channel
        if channel.answer_state == "answered":
            return
        channel.answer_state, channel.call_state = "answered", "ACTIVE"
        channel.answered_s = channel.progress_s = self.clock.now_s()
        channel.set("endpoint_disposition", "ANSWER")
        self.fire("CHANNEL_ANSWER", channel)
        session.far_end.on_answered()

    def route(self, session: Session) -> list[Action] | None:
        channel = session.channel
        who = channel.identity
        if who.dialplan == "inline":
            actions, who.destination, who.rdnis = inline_actions(who.destination), who.rdnis, ""
            return actions

        def lookup(name: str) -> str:
            return channel.get(name) or self.variables.get(name, "")

        def on_inline(action: Action) -> None:
            name, _, value = self.expand(session, action.data).partition("=")
            channel.set(name, value)

        now = datetime.fromtimestamp(self.clock.now_s(), UTC)
        return self._dialplan.route(who.context, lookup, now, on_inline)

    def reload_dialplan(self) -> None:
        """`reloadxml`: calls go on with the actions they have. Raises :class:`DialplanError`; the old one then stays."""
        self._dialplan = load_dialplan(self.config.dialplan, self.variables)

    def dialplan_text(self, context: str) -> str:
        """The XML it has in memory; empty for a context that it has not."""
        return self._dialplan.texts.get(context, "")

    def dialplan_stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes when the dialplan's files do."""
        paths = [self.config.dialplan, *included_files(self.config.dialplan, self.variables)]
        return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path in paths for stat in [path.stat()])

    def application(self, name: str) -> Application | None:
        return APPLICATIONS.get(name)

    def expand(self, session: Session, text: str) -> str:
        """As switch_channel_expand_variables; API calls only under ``api_expansion``."""
        if "$" not in text:
            return text
        channel = session.channel
        return expand(
            text,
            lambda name: channel.get(name) or self.variables.get(name, ""),
            self._call_in_expansion if self.config.api_expansion else None,
        )

    def _call_in_expansion(self, name: str, argument: str) -> str:
        """Those that tests and dialplans call there; the others are as if they answered nothing."""
        if name == "system":
            self.system_commands.append(argument)
        elif name == "strepoch":
            return str(int(self.clock.now_s()))
        return ""

    # --- API --------------------------------------------------------------------------------------------------------
    async def api(self, line: str, _session: Session | None = None) -> str:
        name, _, argument = line.strip().partition(" ")
        command = API_COMMANDS.get(name.lower())
        if command is None:
            return f"-ERR {name} Command not found!\n"
        return await command(self, argument.strip())

    def schedule(self, when: str, group: str, command: str) -> int | None:
        """``+N``, ``@N`` (every N seconds) or a time of the epoch; the task's id, None for anything else."""
        digits = when.lstrip("+@")
        if not digits.isdecimal():
            return None
        delay_s = int(digits) if when[0] in "+@" else int(digits) - int(self.clock.now_s())

        async def run() -> None:
            await self.api(command)

        every_s = int(digits) if when.startswith("@") else 0
        return self.scheduler.add(max(0, delay_s), group, run, every_s=every_s)

    async def background_job(self, job_uuid: str, line: str, owner: Session | None) -> None:
        answer = await self.api(line, owner)
        name, _, argument = line.strip().partition(" ")
        headers = [("Job-UUID", job_uuid)]
        if owner is not None:
            headers.append(("Job-Owner-UUID", owner.channel.uuid))
        headers.append(("Job-Command", name))
        if argument:
            headers.append(("Job-Command-Arg", argument.strip()))
        self.dispatcher.fire_job(tuple(headers), answer, owner.channel.uuid if owner else "")

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
        """Tell every peer that wants to know: :meth:`simulator.dispatch.Dispatcher.fire`."""
        self.dispatcher.fire(name, channel, extra, lead=lead, body=body, subclass=subclass)


class _Nobody:
    """A far end that hears nothing and does nothing: a channel before its person is there."""

    def on_answered(self) -> None: ...

    def on_audio_started(self, part: object) -> None: ...

    def on_audio_ended(self, part: object, heard_s: float) -> None: ...

    def on_bridged(self, agent: str) -> None: ...

    def on_unbridged(self) -> None: ...

    def on_hung_up(self, cause: str) -> None: ...


_NOBODY: Final = _Nobody()


def _nobody(_session: Session) -> FarEnd:
    return _NOBODY
