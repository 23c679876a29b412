"""Whole calls through Lifeline on a real FreeSWITCH that has exactly the deployed files: speech, keys, a hang-up, a broken AI.

The caller is a leg of the switch itself that plays what somebody would say; ``FREESWITCH_CHAIN`` names how it gets into the
chain (a SIP address of the switch does, too). Needs FREESWITCH_ESL, a shared disk, and nothing else at the bridge's port.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from esl_bridge.control import SwitchControl
from esl_bridge.protocol.messages import Message
from esl_bridge.protocol.reader import Reader
from espeak.voice import render, wav
from tests.freeswitch.conftest import ESL
from tests.freeswitch.figures import over, turns_begun, until
from tests.stack import Stack

pytestmark = [
    pytest.mark.freeswitch,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ESL, reason="no real switch: set FREESWITCH_ESL=host:port:password"),
]
CHAIN = os.environ.get("FREESWITCH_CHAIN", "loopback/9200/lifeline")
RATE_HZ = 8000
WORDS_A_MINUTE = 140


def api(command: str) -> str:
    """One command on a control connection of its own."""
    host, port, password = ESL.split(":", 2)
    with socket.create_connection((host, int(port)), 5.0) as wire:
        messages = spoken(wire)
        next(messages)  # auth/request
        for line in (f"auth {password}", f"api {command}"):
            wire.sendall(f"{line}\n\n".encode())
            answer = next(messages)
            assert not answer.reply_text.startswith("-"), answer.reply_text
        return answer.body.decode()


def spoken(wire: socket.socket) -> Iterator[Message]:
    reader = Reader()
    while data := wire.recv(65536):
        yield from reader.feed(data)


class Caller:
    """A leg that says what it is given, in its own time, and presses keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.leg = str(uuid.uuid4())

    def call(self, *said: tuple[float, str], simulated: bool = False) -> None:
        """``said``: (second after the answer, words). ``simulated``: as a dialplan's number that only tests dial."""
        path = self._folder / f"{self.leg}.wav"
        path.write_bytes(wav(self._sound(said), RATE_HZ))
        options = f"origination_uuid={self.leg},origination_caller_id_number=1000,ignore_early_media=true"
        if simulated:
            options += ",ll_simulated=true,loopback_export=ll_simulated"
        api(f"bgapi originate {{{options}}}{CHAIN} &playback({path})")

    def press(self, keys: str) -> None:
        api(f"uuid_send_dtmf {self.leg} {keys}")

    def hang_up(self) -> None:
        api(f"uuid_kill {self.leg}")

    def _sound(self, said: tuple[tuple[float, str], ...]) -> bytes:
        dice = np.random.default_rng(1)
        sound = b""
        for at_s, words in said:
            wanted = int(at_s * RATE_HZ) - len(sound) // 2
            assert wanted >= 0, "the caller still speaks then"
            sound += dice.integers(-8, 9, wanted, dtype=np.int16).tobytes()
            sound += render(words, rate_wpm=WORDS_A_MINUTE, sample_rate_hz=RATE_HZ)
        return sound + dice.integers(-8, 9, 60 * RATE_HZ, dtype=np.int16).tobytes()


@pytest.fixture
def caller(stack: Stack) -> Iterator[Caller]:
    made = Caller(stack.data_dir)
    yield made
    made.hang_up()


def test_a_caller_is_understood_and_served_and_their_hanging_up_is_no_failure(stack: Stack, caller: Caller) -> None:
    before, begun = stack.figures(), turns_begun(stack)
    caller.call((5.5, "what is my balance"), (11.5, "four two one seven"), (19.5, "yes"))
    until(stack, lambda figures: figures["served_by_ai"] == before["served_by_ai"] + 1, "the balance is told")
    # The call asks what else and listens: the moment in which hanging up ends the audio first.
    stack.until(lambda: turns_begun(stack) == begun + 4, "the next question")
    caller.hang_up()
    after = over(stack)
    for name in ("ai_failures_failed_over", "ai_failures_dropped", "ai_failures_recovered"):
        assert after[name] == before[name]


def test_an_ai_that_hangs_takes_the_caller_to_the_menu_and_keys_serve_them(stack: Stack, caller: Caller) -> None:
    before = stack.figures()
    stack.manage("break_engine", "hang")
    try:
        caller.call((5.5, "what is my balance"))
        failed_over = before["ai_failures_failed_over"] + 1
        until(stack, lambda figures: figures["ai_failures_failed_over"] == failed_over, "the caller hears the menu")
        caller.press("1")
        caller.press("4217#")
        until(stack, lambda figures: figures["served_by_menu"] == before["served_by_menu"] + 1, "the menu tells the balance")
        caller.hang_up()
        after = over(stack)
    finally:
        stack.manage("break_engine", "none")
    assert after["ai_failures_dropped"] == before["ai_failures_dropped"]


def test_a_bridge_killed_in_a_call_leaves_it_up_and_what_became_of_it_is_in_a_figure(
    stack: Stack, caller: Caller, control: SwitchControl
) -> None:
    before = stack.figures()
    caller.call()
    until(stack, lambda figures: figures["live_calls"] == 1, "the call is live")
    stack.kill("bridge")
    # With no other bridge the chain's visits go to the last resort: the leg hears it, and is up.
    stack.until(lambda: stack.status("bridge")["restarts"] >= 1, "the launcher sees it dead")
    assert control.exists(caller.leg)
    caller.hang_up()
    after = until(stack, lambda figures: figures["live_calls"] == 0, "the call's end is found out", 150)
    # Kept if the switch listed it in the last resort before it was over, else lost; never in neither.
    figures = ("ai_failures_failed_over", "ai_failures_dropped")
    assert sum(after[name] for name in figures) == sum(before[name] for name in figures) + 1
