"""One Event Socket connection, in either direction, from the switch's side.

Owns the commands' meaning and the connection's end (linger, notices). Framing is :mod:`simulator.wire`, the choice of
events :mod:`simulator.subscriptions`; what an API command does is :mod:`simulator.api_commands`.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

import structlog

from simulator import wire
from simulator.errors import WireError
from simulator.events import Event
from simulator.messages import Message
from simulator.outbox import Outbox
from simulator.session import Session
from simulator.subscriptions import Subscriptions

if TYPE_CHECKING:
    from simulator.switch import Switch

log = structlog.get_logger(__name__)

_LINGER_CHECK_S: Final = 0.6  # recorded: `linger 5` ended 5.4 to 5.8 s after the call
_NO_REPLY: Final = "-ERR no reply\n"  # to a command that said nothing
_READ_BYTES: Final = 65_536


class Listener:
    """``session`` is the call of an outbound connection; without one the peer must say ``auth`` first."""

    def __init__(
        self,
        switch: Switch,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        session: Session | None = None,
        mode: str = "async",
    ) -> None:
        self.switch = switch
        self.session = session
        self.own_uuid = session.channel.uuid if session else ""
        self.subscriptions = Subscriptions(self.own_uuid)
        self.has_connected = False
        self.has_ended = False
        self.resumes = False
        self._mode = mode
        self._reader, self._out = reader, Outbox(writer)
        self._authorised = session is not None
        self._linger_s: int | None = None  # None: no linger; -1: until the app closes
        self._held: list[bytes] | None = None  # while an `api` runs, events wait behind its answer
        self._ending: asyncio.TimerHandle | None = None

    # --- events -----------------------------------------------------------------------------------------------------
    def deliver(self, event: Event) -> None:
        """Send ``event`` if it is subscribed to; behind the answer of an `api` that is still running."""
        if not self._authorised or not self.subscriptions.wants(event):
            return
        encode = wire.encode_json if self.subscriptions.as_json else wire.encode_plain
        if self._held is None:
            self._out.put_event(encode(event))
        else:
            self._held.append(encode(event))

    def on_call_over(self) -> None:
        """The end of an outbound connection's call: its notice, and after ``linger``'s time good-bye."""
        session = self.session
        if session is None:
            return
        if self._linger_s is None:
            self._say_goodbye()
            return
        self._out.put(wire.encode_linger_notice(self.own_uuid, session.channel.name, self._linger_s))
        if self._linger_s >= 0:  # a bare `linger`: until the app closes
            lingers_s = self.switch.clock.wall_s(self._linger_s + _LINGER_CHECK_S)
            self._ending = asyncio.get_running_loop().call_later(lingers_s, self._say_goodbye)

    # --- the connection ---------------------------------------------------------------------------------------------
    async def serve(self) -> None:
        """Until either side closes. Never raises for what the peer does."""
        self.switch.attach(self)
        parser = wire.CommandParser()
        try:
            if not self._authorised:
                self._out.put(wire.AUTH_REQUEST)
            while data := await self._reader.read(_READ_BYTES):
                for command in parser.feed(data):
                    await self._obey(command)
                    if self._out.is_closing():
                        return
        except WireError as error:
            log.warning("event_socket_peer_broke_framing", error=str(error))
        except OSError:
            pass  # a reset is an end like any other
        finally:
            if self._ending is not None:
                self._ending.cancel()
            self.has_ended = True
            self.switch.detach(self)
            self._out.close()
            if self._out.dropped_events:
                log.warning("event_socket_peer_too_slow", dropped_events=self._out.dropped_events)

    def _say_goodbye(self) -> None:
        if not self._out.is_closing():
            self._out.put(wire.encode_disconnect_notice(self.own_uuid))
            self._out.close()

    # --- commands ---------------------------------------------------------------------------------------------------
    async def _obey(self, command: wire.Command) -> None:
        verb, _, argument = command.line.partition(" ")
        verb, argument = verb.lower(), argument.strip()
        if not self._authorised and verb not in ("auth", "exit"):
            self._reply("-ERR command not found")
        elif verb == "api":
            await self._api(argument)
        elif verb == "bgapi":
            self._bgapi(argument, command.get("Job-UUID"))
        elif verb == "sendmsg":
            self._reply(await self._sendmsg(argument, command))
        elif verb == "connect" and self.session is not None:
            self._connect(self.session)
        elif verb == "exit":
            self._reply("+OK bye")
            self._say_goodbye()
        elif verb == "auth":
            self._authenticate(argument)
        elif self.session is not None and (answer := self._call_command(verb, argument, self.session)):
            self._reply(answer)
        else:
            self._reply(self._listen_command(verb, argument) or "-ERR command not found")

    def _reply(self, text: str, **headers: str) -> None:
        self._out.put(wire.encode_reply(text, **headers))

    def _authenticate(self, password: str) -> None:
        if password == self.switch.config.password:
            self._authorised = True
            self._reply("+OK accepted")
        else:
            self._reply("-ERR invalid")
            self._say_goodbye()

    def _connect(self, session: Session) -> None:
        self.has_connected = True
        session.wake()
        event = self.switch.dispatcher.channel_data(session.channel)
        self._out.put(wire.encode_connect_reply(event, mode=self._mode, control="full"))

    def _call_command(self, verb: str, argument: str, session: Session) -> str | None:
        """Commands that only an outbound connection has; None for any other."""
        if verb == "linger":
            self._linger_s = int(argument) if argument.isdecimal() else -1
            return f"+OK will linger {argument} seconds" if argument.isdecimal() else "+OK will linger"
        if verb == "nolinger":
            self._linger_s = None
            return "+OK will not linger"
        if verb == "resume":
            self.resumes = True
            session.channel.set("socket_resume", "true")
            return "+OK"
        if verb == "getvar":
            return session.channel.get(argument) or "-ERR command not found"
        if verb == "divert_events":
            found = {"on": "+OK events diverted", "off": "+OK events not diverted"}
            return found.get(argument.lower(), "-ERR missing value.")
        return None

    def _listen_command(self, verb: str, argument: str) -> str | None:
        subscriptions = self.subscriptions
        if verb == "myevents":
            if self.session is None and argument:
                self.own_uuid = argument.split()[0]
                subscriptions.own_uuid = self.own_uuid
            answer = subscriptions.my_events(argument)
        elif verb == "event":
            answer = subscriptions.add(argument)
        elif verb == "nixevent":
            answer = subscriptions.remove(argument)
        elif verb == "noevents":
            answer = subscriptions.clear()
        elif verb == "filter":
            answer = subscriptions.filter(argument)
        elif verb == "nolog":
            return "-ERR not loging"  # spelt as FreeSWITCH spells it
        elif verb in ("linger", "nolinger"):
            return "-ERR not controlling a session"
        elif verb == "divert_events":
            return "-ERR not controlling a session."
        else:
            return None
        self.switch.dispatcher.reindex(self)
        return answer

    async def _sendmsg(self, argument: str, command: wire.Command) -> str:
        """Queued for the call's next frame; in sync mode the own call obeys before the answer."""
        call_uuid = argument or command.get("session-id")
        session = self.session if call_uuid in ("", self.own_uuid) else None
        session = session or self.switch.located(call_uuid)
        if session is None:
            return f"-ERR invalid session id [{call_uuid}]"
        message = _message(command)
        if self._mode == "async" or session is not self.session:
            session.post(message)
        else:
            await session.obey(message)
        return "+OK"

    async def _api(self, argument: str) -> None:
        """Blocks this connection, its events included, until the answer is written."""
        self._held = []
        try:
            answer = await self.switch.api(argument, self.session)
        finally:
            held, self._held = self._held, None
        self._out.put(wire.encode_api_response(answer or _NO_REPLY))
        for event in held:
            self._out.put_event(event)

    def _bgapi(self, argument: str, job_uuid: str) -> None:
        job = job_uuid or str(uuid.uuid4())
        self._reply(f"+OK Job-UUID: {job}", Job_UUID=job)
        self.switch.spawn(self.switch.background_job(job, argument, self.session))


def _message(command: wire.Command) -> Message:
    said = {name.lower(): value for name, value in reversed(command.headers)}  # of two the first counts
    loops = said.get("loops", "")
    as_body = command.body if said.get("content-type", "").lower() == "text/plain" else ""
    return Message(
        command=said.get("call-command", "").lower(),
        application=said.get("execute-app-name", ""),
        argument=said.get("execute-app-arg", "") or as_body,
        event_uuid=said.get("event-uuid", ""),
        lock=said.get("event-lock", "").lower() == "true",
        loops=int(loops) if loops.isdecimal() else 1,
        cause=said.get("hangup-cause", ""),
        raw=(("Command", _raw(command)), *command.headers),
        body=command.body,
    )


def _raw(command: wire.Command) -> str:
    return command.line + "\n" + "".join(f"{name}: {value}\n" for name, value in command.headers) + "\n"
