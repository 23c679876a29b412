"""What is told from audio alone, with real speech, real silence and real noise."""

from __future__ import annotations

import numpy as np
import pytest

import espeak.voice
from ai_engine.engines.audio import rendered, voiced_ms
from ai_engine.errors import EngineError, Kind


def test_speech_is_voiced_and_silence_and_line_noise_are_not() -> None:
    speech = espeak.voice.render("what are your opening hours")
    noise = np.random.default_rng(1).normal(0, 60, 16_000).astype("<i2").tobytes()
    assert voiced_ms(speech) > 600
    assert voiced_ms(bytes(32_000)) == 0
    assert voiced_ms(noise) == 0
    assert voiced_ms(speech[:200]) == 0


@pytest.mark.parametrize(
    ("pcm", "kind"),
    [
        (b"", Kind.EMPTY),
        (bytes(8000), Kind.SILENT),
        (b"\x01\x00\x02", Kind.GARBAGE),
        (b'{"error": "no"}.', Kind.GARBAGE),
        (b'\n{"error": {"message": "Der Schl\xfcssel ist ung\xfcltig", "type": "auth" }}', Kind.GARBAGE),
        (b"<html><body>Bad gateway</body></html>.", Kind.GARBAGE),
        (np.random.default_rng(2).bytes(8000), Kind.GARBAGE),
    ],
)
def test_what_is_no_speech_has_a_kind(pcm: bytes, kind: Kind) -> None:
    with pytest.raises(EngineError) as caught:
        rendered(pcm, 8000)
    assert caught.value.kind is kind


@pytest.mark.parametrize("first", b"{<")
def test_speech_may_begin_with_any_byte(first: int) -> None:
    samples = np.frombuffer(espeak.voice.render("We are open."), dtype="<i2").copy()
    samples[0] = first
    assert rendered(samples.tobytes(), 8000) == samples.tobytes()


def test_loud_speech_passes_unchanged() -> None:
    speech = espeak.voice.render("She sells sea shells, sixty six of them.")
    assert rendered(speech, 8000) == speech
