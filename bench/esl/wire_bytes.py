"""What our subscription (a filter and a list of events) brings over the socket in one call, against ``myevents``.

A simulated switch plays one whole call with the real bridge: menu, account number, answer, goodbye. Every event of the
call from the ``socket`` application on is counted once for each subscription that would have brought it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.esl.load import stage
from bench.results_file import Figure
from esl_bridge.calls.from_switch import AUDIO_EVENTS, EVENTS
from esl_bridge.protocol.messages import ContentType, Event
from esl_bridge.protocol.reader import Reader
from simulator.channel import Identity
from simulator.config import SwitchConfig
from simulator.media import Part
from simulator.session import Session
from simulator.subscriptions import MY_EVENTS
from simulator.switch import Switch

DIALPLAN = Path(__file__).parents[2] / "deploy/freeswitch/dialplan/lifeline.xml"
KEYS = "14217"
LIMIT_S = 60.0


class Caller:
    """Asks for the balance by keys, says the account number, listens to the end and says nothing more."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._prompts = 0
        self.over = asyncio.Event()

    def answer(self, session: Session) -> Caller:
        self._session = session
        return self

    def on_answered(self) -> None: ...

    def on_audio_started(self, part: Part) -> None:
        self._prompts += 1
        if self._prompts == 2:  # the greeting was the first
            asyncio.get_running_loop().call_later(0.2, self._press, 0)

    def on_audio_ended(self, part: Part, heard_s: float) -> None: ...

    def on_bridged(self, agent: str) -> None: ...

    def on_unbridged(self) -> None: ...

    def on_hung_up(self, cause: str) -> None:
        self.over.set()

    def _press(self, at: int) -> None:
        if self._session is not None and at < len(KEYS):
            self._session.press(KEYS[at])
            asyncio.get_running_loop().call_later(0.5, self._press, at + 1)


async def one_call(bridge_port: int) -> list[tuple[Event, int]]:
    """Every event of the call, and its bytes on the wire."""
    switch = Switch(SwitchConfig(dialplan=DIALPLAN, bridges=f"127.0.0.1:{bridge_port}", inbound_port=0))
    await switch.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", switch.inbound_port)
        writer.write(b"auth ClueCon\n\nevent plain ALL\n\n")
        parser, found = Reader(), list[tuple[Event, int]]()

        async def listen() -> None:
            while data := await reader.read(65536):
                for message in parser.feed(data):
                    if message.content_type == ContentType.EVENT_PLAIN:
                        head = len(b"Content-Length: \nContent-Type: text/event-plain\n\n") + len(str(len(message.body)))
                        found.append((message.event(), head + len(message.body)))

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.3)  # until the subscription stands
        caller = Caller()
        switch.place_call(Identity(destination="9200", context="lifeline"), caller.answer)
        async with asyncio.timeout(LIMIT_S):
            await caller.over.wait()
        await asyncio.sleep(0.5)  # the last events
        writer.close()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        return found
    finally:
        await switch.stop()


def figures(cores: tuple[int, int]) -> dict[str, Figure]:
    with stage(cores) as (bridge, _):
        found = asyncio.run(one_call(bridge.port))
    names = [(event.name, event.get("Application")) for event, _ in found]
    attached = found[names.index(("CHANNEL_EXECUTE", "socket")) + 1 :]
    ours = sum(size for event, size in attached if event.name in EVENTS or event.get("Event-Subclass") in AUDIO_EVENTS)
    everything = sum(size for event, size in attached if event.name in MY_EVENTS)
    return {
        "bytes_per_call": Figure(ours, "bytes of events, one whole call"),
        "bytes_per_call_myevents": Figure(everything, "bytes of events, the same call"),
    }
