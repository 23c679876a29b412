"""The recogniser by itself on the demonstration's own utterances: real speech, kinds of silence, one voice after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

import espeak.voice
from ai_engine.local.decoding import Decoder
from ai_engine.local.grammar import build_grammar, read_dictionary
from callflows.definition.flow import Snapshot
from callflows.demo import INTENTS
from tests.ai_engine.flows import demo_flow

CHUNK_BYTES = 1600
# Two of each intent's, and the account number of the simulator's callers.
SAID = [words for intent in INTENTS for words in intent.utterances[:2]]
ACCOUNT = "four two one seven"


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    flow = demo_flow()
    by_name = {intent.name: intent.utterances for intent in INTENTS}
    intents = [replace(flow.intents[0], name=name, utterances=utterances) for name, utterances in by_name.items()]
    account = replace(flow.slots[0], min_length=4, max_length=4)
    wanted = replace(flow, intents=tuple(intents), slots=(account,))
    return Decoder(build_grammar(Snapshot((wanted,)), read_dictionary()))


def hear(decoder: Decoder, words: str, voice: str, noise_lsb: int = 0, lead_s: float = 0.5, gain: float = 1.0) -> str:
    """What is recognised when it is streamed in chunks of 100 ms."""
    speech = np.frombuffer(espeak.voice.render(words, voice=voice, rate_wpm=150), dtype="<i2") * gain
    line = np.concatenate([np.zeros(int(lead_s * 8000)), speech, np.zeros(6400)])
    line += np.random.default_rng(3).integers(-noise_lsb, noise_lsb, line.size, endpoint=True)
    pcm = np.clip(np.rint(line), -32768, 32767).astype("<i2").tobytes()
    decoder.start()
    for start in range(0, len(pcm), CHUNK_BYTES):
        decoder.hear(pcm[start : start + CHUNK_BYTES])
    return decoder.finish()[0]


def right(decoder: Decoder, said: Sequence[str], voice: str, **how: float) -> int:
    return sum(hear(decoder, words, voice, **how) == words for words in said)  # type: ignore[arg-type]


@pytest.mark.parametrize("noise_lsb", [0, 20, 60])
@pytest.mark.parametrize("voice", ["en-us+f1", "en-us+m6"])
def test_nine_of_ten_utterances_are_right_on_any_line(decoder: Decoder, voice: str, noise_lsb: int) -> None:
    assert len(SAID) == 10
    assert right(decoder, SAID, voice, noise_lsb=noise_lsb) >= 9


def test_long_digital_silence_first_spoils_nothing(decoder: Decoder) -> None:
    assert right(decoder, SAID[::2], "en-us+f2", lead_s=3.0) >= 4


def test_quiet_callers_are_understood(decoder: Decoder) -> None:
    """16 dB below the others, with a line's noise."""
    assert right(decoder, SAID[::2], "en-us+m6", noise_lsb=20, gain=0.15) >= 4


def test_a_call_does_not_depend_on_who_spoke_before(decoder: Decoder) -> None:
    voices = ("en-us+klatt", "en-us+f2", "en-gb", "en-us+f1", "en-us+m6")
    alone = [hear(decoder, words, voice) for words, voice in zip(SAID, voices * 2, strict=True)]
    assert sum(heard == words for heard, words in zip(alone, SAID, strict=True)) >= 9
    backwards = [hear(decoder, words, voice) for words, voice in reversed(list(zip(SAID, voices * 2, strict=True)))]
    assert sum(heard == words for heard, words in zip(reversed(backwards), SAID, strict=True)) >= 9


def test_the_simulators_callers_can_say_an_account_number(decoder: Decoder) -> None:
    """All but one voice: what espeak renders depends a little on what it rendered before, and f1 is at the edge."""
    voices = ["en-us+f1", "en-us+f2", "en-us+m6", "en-us+klatt", "en-us+klatt2"]
    heard = [hear(decoder, ACCOUNT, voice, noise_lsb=20) == ACCOUNT for voice in voices]
    assert sum(heard) >= len(heard) - 1
