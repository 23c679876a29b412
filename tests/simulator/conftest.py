"""Switches that are stopped again, and a prompt folder with real audio and its manifest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from espeak.voice import wav
from simulator.channel import Identity
from simulator.config import AgentsConfig, SwitchConfig
from simulator.line import FarEnd
from simulator.media import Part
from simulator.session import Session
from simulator.switch import Switch

REPOSITORY = Path(__file__).resolve().parents[2]
CHAIN = REPOSITORY / "deploy/freeswitch/dialplan/lifeline.xml"
# As the recorder's own dialplan was.
RECORDED = """<include><context name="public"><extension name="recorded">
<condition field="destination_number" expression="^9000$">
<action application="set" data="socket_resume=true"/>
<action application="answer"/>
<action application="socket" data="$${lifeline_bridges} async full"/>
<action application="log" data="INFO the dialplan goes on"/>
<action application="set" data="went_on=yes"/>
<action application="playback" data="tone_stream://%(200,0,440)"/>
<action application="hangup"/>
</condition></extension></context>
<context name="default"><extension name="again"><condition field="destination_number" expression="^9000$">
<action application="set" data="socket_resume=true"/>
<action application="answer"/>
<action application="socket" data="$${lifeline_bridges} async full"/>
</condition></extension></context></include>"""

FAST_AGENTS = AgentsConfig(ring_s=(0.2, 0.3), talk_s=(0.5, 0.6))


def tone(seconds: float, amplitude: int = 6000) -> bytes:
    samples = amplitude * np.sin(2 * np.pi * 440 / 8000 * np.arange(round(seconds * 8000)))
    return samples.astype("<i2").tobytes()


class Prompts:
    """A prompt folder like the publisher's: WAV files and ``manifest.json``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._texts: dict[str, dict[str, str]] = {}

    def add(self, name: str, text: str, seconds: float = 0.6) -> str:
        path = self.folder / f"{name}.wav"
        path.write_bytes(wav(tone(seconds), 8000))
        self._texts[path.name] = {"text": text}
        (self.folder / "manifest.json").write_text(json.dumps(self._texts))
        return str(path)


@pytest.fixture
def prompts(tmp_path: Path) -> Prompts:
    folder = tmp_path / "prompts"
    folder.mkdir()
    return Prompts(folder)


class Listener:
    """A far end that notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._noted = asyncio.Event()

    def _note(self, note: str) -> None:
        self.notes.append(note)
        self._noted.set()

    async def until(self, *notes: str) -> None:
        """Wait until these notes have come one after the other."""

        def came() -> bool:
            return any(tuple(self.notes[at : at + len(notes)]) == notes for at in range(len(self.notes)))

        async with asyncio.timeout(20):
            while not came():
                self._noted.clear()
                await self._noted.wait()

    def on_answered(self) -> None:
        self._note("answered")

    def on_audio_started(self, part: Part) -> None:
        self._note(f"start {part.file or 'tone'}")

    def on_audio_ended(self, part: Part, heard_s: float) -> None:
        self._note(f"end {part.file or 'tone'}")

    def on_bridged(self, agent: str) -> None:
        self._note(f"bridged {agent}")

    def on_unbridged(self) -> None:
        self._note("unbridged")

    def on_hung_up(self, cause: str) -> None:
        self._note(f"hung up {cause}")


StartSwitch = Callable[..., Awaitable[Switch]]


@pytest.fixture
async def start_switch(tmp_path: Path) -> AsyncIterator[StartSwitch]:
    """``start_switch(bridges=…, speed=…, dialplan=text)``; stopped at the end of the test."""
    switches: list[Switch] = []

    async def start(dialplan: str = "", **options: object) -> Switch:
        path = CHAIN
        if dialplan:
            path = tmp_path / f"dialplan-{len(switches)}.xml"
            path.write_text(dialplan)
        defaults: dict[str, object] = {"speed": 5.0, "agents": FAST_AGENTS, "temp_dir": tmp_path}
        switch = Switch(SwitchConfig(dialplan=path, **(defaults | options)))  # type: ignore[arg-type]
        switches.append(switch)
        await switch.start()
        return switch

    yield start
    for switch in switches:
        await switch.stop()


def place(switch: Switch, far_end: FarEnd | None = None, destination: str = "9000", context: str = "public") -> Session:
    """A call into the recorder's dialplan."""
    person = far_end or Listener()
    return switch.place_call(Identity(destination=destination, context=context), lambda _session: person)
