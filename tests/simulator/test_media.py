"""Files and streams: what opens, how long it is, whether it can be heard; and the line's own audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espeak.voice import wav
from simulator.line import FRAME_BYTES, Microphone
from simulator.media import open_audio
from tests.conformance.client import loudness
from tests.simulator.conftest import tone


@pytest.mark.parametrize(
    ("name", "seconds", "audible"),
    [
        ("tone_stream://%(300,100,440);loops=2", 0.8, True),
        ("tone_stream://%(200,100,600)", 0.3, True),
        ("tone_stream://%(100,0,350,440)%(100,50,600)", 0.25, True),
        ("tone_stream://%(500,500,300);loops=-1", 86_400, True),
        ("silence_stream://1500", 1.5, False),
        ("silence_stream://250,1400", 0.25, False),
        ("silence_stream://-1", 86_400, False),
        ("{a=1}[b=2]tone_stream://%(200,0,440)", 0.2, True),
    ],
)
async def test_streams(tmp_path: Path, name: str, seconds: float, audible: bool) -> None:
    audio = await open_audio(name, tmp_path)
    assert audio is not None
    assert audio.duration_s == pytest.approx(seconds)
    assert audio.parts[0].audible is audible


async def test_files_have_their_real_length(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(tone(0.5), 8000))
    (tmp_path / "wide.wav").write_bytes(wav(tone(1.0), 16000))
    (tmp_path / "b.r8").write_bytes(tone(0.25))
    (tmp_path / "quiet.wav").write_bytes(wav(b"\x01\x00" * 4000, 8000))
    lengths = [await open_audio(name, tmp_path) for name in ("a.wav", "wide.wav", "b.r8", "quiet.wav")]
    assert [audio and round(audio.duration_s, 3) for audio in lengths] == [0.5, 0.5, 0.25, 0.5]
    assert [audio and audio.parts[0].audible for audio in lengths] == [True, True, True, False]


async def test_what_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "garbage.wav").write_bytes(b"this is not audio" * 100)
    (tmp_path / "headeronly.wav").write_bytes(wav(b"", 8000))
    names = ("none.wav", "empty.wav", "garbage.wav", "headeronly.wav", "http://x/y.wav", "tone_stream://nonsense", "",
             "silence_stream://x", "file_string://none.wav!empty.wav")  # fmt: skip
    assert [await open_audio(name, tmp_path) for name in names] == [None] * len(names)


async def test_a_file_string_skips_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(tone(0.5), 8000))
    audio = await open_audio(f"file_string://{tmp_path}/none.wav!{tmp_path}/a.wav!{tmp_path}/a.wav", tmp_path)
    assert audio is not None
    assert [part.file for part in audio.parts] == ["a.wav", "a.wav"]


def test_the_microphone_has_line_noise_around_speech_and_never_digital_silence() -> None:
    microphone = Microphone()
    length_s = microphone.say(tone(0.05), at_s=100.0)
    assert length_s == pytest.approx(0.05)
    frames = [microphone.frame(4999 + number) for number in range(6)]
    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    assert [loudness(frame) > 1000 for frame in frames] == [False, True, True, True, False, False]
    noise = np.frombuffer(frames[0], dtype="<i2")
    assert 3 < np.abs(noise).max() <= 20
    assert noise.any()
    microphone.stop()
    assert loudness(microphone.frame(5001)) < 20
