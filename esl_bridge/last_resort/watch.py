"""A listener at one switch's control port that journals what happens to calls that no bridge has.

Owns the connection: it comes again by itself whenever the switch was away. What is missed meanwhile is settled by the
console's looks at the switch, which err towards a lost call. Calls and bridges never depend on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from esl_bridge.last_resort.sightings import EVENTS, VISITS, Sightings
from esl_bridge.protocol import commands
from esl_bridge.protocol.conversation import Conversation, Disconnecting, Happened, Rejected, Replied
from esl_bridge.protocol.errors import EventSocketError
from esl_bridge.protocol.states import State

log = structlog.get_logger(__name__)

READ_BYTES = 262_144
CONNECT_S = 5.0
# A switch that is frozen keeps its connections: what it does not answer within this is not listening to it.
SILENT_S = 10.0
RETRY_S = (0.5, 1.0, 2.0, 5.0)
# Closing waits for nobody: the switch may be the one that stands still.
CLOSE_S = 1.0


@dataclass(frozen=True, slots=True)
class ControlPort:
    name: str
    host: str
    port: int
    password: str = field(repr=False)


class SwitchLost(EventSocketError):
    """The switch is away, refused us, or stands still."""


class Watch:
    """``note`` gets every sighting. ``is_listening`` tells tests, and whoever asks, that nothing is missed from now on."""

    def __init__(self, at: ControlPort, note: Callable[..., None], silent_s: float = SILENT_S) -> None:
        self._at = at
        self._note = note
        self._silent_s = silent_s
        self._sightings = Sightings()
        self.is_listening = asyncio.Event()

    async def run(self) -> None:
        """For ever; cancel it to stop."""
        failures = 0
        while True:
            try:
                await self._listen()
            except (OSError, EventSocketError, TimeoutError) as error:
                if self.is_listening.is_set() or failures == 0:
                    log.warning("the switch is not listened to", switch=self._at.name, error=str(error) or type(error).__name__)
                failures = 0 if self.is_listening.is_set() else failures + 1
            finally:
                self.is_listening.clear()
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])

    async def _listen(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(self._at.host, self._at.port)
        try:
            await self._converse(reader, writer, Conversation())
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await writer.wait_closed()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, conversation: Conversation[str]
    ) -> None:
        """Whatever comes shows that the switch lives; when nothing does, it is asked, and has as long again."""
        asked = False
        while True:
            try:
                async with asyncio.timeout(self._silent_s):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                if asked or conversation.state is not State.ATTACHED:
                    raise SwitchLost(f"it said nothing for {self._silent_s:g} s") from None
                asked = True
                writer.write(conversation.send(commands.ask_version(), "alive"))
                continue
            if not data:
                raise SwitchLost("it closed the connection")
            asked = False
            before = conversation.state
            for received in conversation.receive(data):
                if isinstance(received, Happened):
                    for sighting in self._sightings.of(received.event):
                        self._note(*sighting)
                elif isinstance(received, Disconnecting | Rejected):
                    raise SwitchLost("it sends us away")
                elif isinstance(received, Replied):
                    self._replied(received, writer, conversation)
            if before is State.NEW and conversation.state is State.CHALLENGED:
                writer.write(conversation.send(commands.authenticate(self._at.password), "auth"))

    def _replied(self, reply: Replied[str], writer: asyncio.StreamWriter, conversation: Conversation[str]) -> None:
        if not reply.ok and reply.tag != "alive":
            raise SwitchLost(f"it refused {reply.tag}: {reply.text}")
        if reply.tag == "auth":
            # The filter first: in the other order all calls' events would come meanwhile.
            writer.write(conversation.send(commands.filter_header(f"variable_{VISITS}", "/^x/"), "filter"))
            writer.write(conversation.send(commands.events(EVENTS), "events"))
        elif reply.tag == "events":
            self.is_listening.set()
            log.info("listening to the switch", switch=self._at.name)
