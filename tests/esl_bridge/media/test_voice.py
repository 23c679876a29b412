"""A line that loses packets: what a switch has in their place beside the line's noise is nobody's voice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from esl_bridge.media.voice import FRAME_BYTES, SILENCE_FRAMES, Change, VoiceActivity, VoiceOverPrompt
from espeak.voice import render

FRAME = FRAME_BYTES // 2
A_SECOND = 50
Samples = NDArray[np.int16]


def noise(seconds: int, rms: float, seed: int) -> Samples:
    return np.random.default_rng(seed).normal(0, rms, seconds * A_SECOND * FRAME).astype(np.int16)


def spoken(words: str) -> Samples:
    return np.frombuffer(render(words, rate_wpm=140, sample_rate_hz=8000), np.int16)


def frames(samples: Samples, *, lost: float, filled_with: int = -1, seed: int = 1) -> Iterator[bytes]:
    """As the gateway gets them, some with what FreeSWITCH (-1) or another (0) has for a lost packet."""
    is_lost = np.random.default_rng(seed).random(len(samples) // FRAME) < lost
    for number, gone in enumerate(is_lost):
        frame = np.full(FRAME, filled_with, np.int16) if gone else samples[number * FRAME : (number + 1) * FRAME]
        yield frame.astype("<i2").tobytes()


@pytest.mark.parametrize("filled_with", [-1, 0])
@pytest.mark.parametrize("lost", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("rms", [8.0, 58.0, 300.0])
def test_the_noise_of_a_line_that_loses_packets_is_no_voice(rms: float, lost: float, filled_with: int) -> None:
    for seed in range(5):
        voice = VoiceActivity()
        assert not any(map(voice.feed, frames(noise(5, rms, seed), lost=lost, filled_with=filled_with, seed=seed)))


@pytest.mark.parametrize("lost", [0.0, 0.02, 0.1, 0.3])
def test_who_speaks_on_such_a_line_is_heard_to_begin_and_to_stop(lost: float) -> None:
    said = spoken("what is my balance")
    line = noise(4, 58.0, 1)
    line[A_SECOND * FRAME :][: len(said)] += said
    voice = VoiceActivity()
    changes = [(number, change) for number, frame in enumerate(frames(line, lost=lost)) if (change := voice.feed(frame))]
    assert [change for _, change in changes] == [Change.BEGAN, Change.ENDED]
    (began, _), (ended, _) = changes
    stopped = A_SECOND + len(said) / FRAME
    assert A_SECOND <= began < A_SECOND + 25
    assert stopped < ended <= stopped + SILENCE_FRAMES + 10


def test_a_packet_of_ten_milliseconds_that_is_lost_is_none_of_the_line_s_either() -> None:
    voice, gaps = VoiceActivity(), np.random.default_rng(3).random(5 * A_SECOND) < 0.1
    line = noise(5, 58.0, 3).reshape(-1, FRAME)
    line[gaps, FRAME // 2 :] = -1
    assert not any(voice.feed(frame.astype("<i2").tobytes()) for frame in line)


def test_loud_noise_with_gaps_does_not_break_off_a_prompt() -> None:
    over = VoiceOverPrompt()
    assert not any(map(over.feed, itertools.chain(frames(noise(5, 700.0, 5), lost=0.1), frames(noise(5, 700.0, 6), lost=0.02))))
