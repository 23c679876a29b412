"""What the switch can play: files and streams by their FreeSWITCH names, with their real length and loudness.

Owns opening and measuring. Knows nothing of calls; playing is :mod:`simulator.playback`.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

RATE_HZ: Final = 8000
FRAME_S: Final = 0.02
_FILE_BLOCK_SAMPLES: Final = 16_384  # recorded: 500 ms into a file, 2,048 ms had been read
# Root mean square of the loudest 100 ms, out of 32,768, from which a person hears anything on a telephone line.
AUDIBLE_RMS: Final = 60.0
_FOREVER_S: Final = 86_400.0
_RAW_SUFFIXES: Final = {".r8": 8000, ".raw": 8000, ".r16": 16000, ".sln": 8000}
_TONE: Final = re.compile(r"%\((\d+),(\d+)(?:,[\d.]+)+\)")
_OPTIONS: Final = re.compile(r"^(\{[^}]*\}|\[[^]]*\])+")
_MAX_FILE_BYTES: Final = 64 * 1024 * 1024  # over an hour of 8 kHz audio; more is a mistake

_MOST_MEASURED: Final = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of audio. ``file`` is its base name ("" for tones); ``audible`` says whether it has energy.

    FreeSWITCH reads ahead by ``block_s``: a whole round of a tone, 16,384 samples of a file. It says so in
    ``playback_ms`` and its like after a break.
    """

    file: str
    duration_s: float
    audible: bool
    block_s: float = FRAME_S

    def read_s(self, heard_s: float) -> float:
        """How much of it had been read when that much had been heard."""
        blocks = math.ceil(round(heard_s / self.block_s, 6))
        return min(self.duration_s, blocks * self.block_s)


@dataclass(frozen=True, slots=True)
class Audio:
    """Something that opened. ``name`` is what was asked for, ``parts`` what will be heard, in order."""

    name: str
    parts: tuple[Part, ...]

    @property
    def duration_s(self) -> float:
        return sum(part.duration_s for part in self.parts)

    @property
    def kind(self) -> str:
        return "tone_stream" if self.name.startswith("tone_stream:") else ""


# Prompts are played again and again: a thread is asked only for what has not been measured as it is now.
_measured: dict[tuple[str, int, int], Part | None] = {}


async def open_audio(name: str, sound_dir: Path) -> Audio | None:
    """None when FreeSWITCH would say FILE NOT FOUND: missing, empty, garbage, or a scheme without its module."""
    path = _OPTIONS.sub("", name.strip())
    if path.startswith("file_string://"):
        found = [await _open_one(part, sound_dir) for part in path.removeprefix("file_string://").split("!")]
        parts = tuple(part for part in found if part is not None)  # a missing part is skipped without a word
        return Audio(name, parts) if parts else None
    part = await _open_one(path, sound_dir)
    return Audio(name, (part,)) if part is not None else None


async def _open_one(name: str, sound_dir: Path) -> Part | None:
    if name.startswith("tone_stream://"):
        return _tone(name.removeprefix("tone_stream://"))
    if name.startswith("silence_stream://"):
        length_ms = name.removeprefix("silence_stream://").split(",")[0]
        if not re.fullmatch(r"-?\d+", length_ms):
            return None
        return Part("", _FOREVER_S if length_ms.startswith("-") else int(length_ms) / 1000, audible=False)
    if "://" in name or not name:
        return None
    path = os.path.join(sound_dir, name)  # noqa: PTH118 (a path object costs more than all the rest)
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    if not 0 < stat.st_size <= _MAX_FILE_BYTES:
        return None
    version = (path, stat.st_mtime_ns, stat.st_size)
    if version not in _measured:
        if len(_measured) >= _MOST_MEASURED:
            _measured.clear()
        _measured[version] = await asyncio.to_thread(_measure, Path(path))
    return _measured[version]


def _tone(program: str) -> Part | None:
    """``%(on,off,hertz[,hertz]);loops=N``, several bursts in a row."""
    bursts = _TONE.findall(program)
    if not bursts:
        return None
    loops = re.search(r"loops=(-?\d+)", program)
    times = int(loops[1]) if loops else 1
    once_s = sum(int(on) + int(off) for on, off in bursts) / 1000
    return Part("", _FOREVER_S if times < 0 else once_s * max(1, times), audible=True, block_s=max(once_s, FRAME_S))


def _measure(path: Path) -> Part | None:
    read = _read_raw(path) if path.suffix in _RAW_SUFFIXES else _read_wav(path)
    if read is None or not len(read[0]):
        return None
    samples, rate_hz = read
    block_s = _FILE_BLOCK_SAMPLES / rate_hz
    return Part(path.name, len(samples) / rate_hz, is_audible(samples, rate_hz), block_s)


def _read_raw(path: Path) -> tuple[np.ndarray, int] | None:
    data = path.read_bytes()
    return np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2"), _RAW_SUFFIXES[path.suffix]


def _read_wav(path: Path) -> tuple[np.ndarray, int] | None:
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2 or file.getframerate() <= 0:
                return None
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
            return samples[:: file.getnchannels()], file.getframerate()
    except (wave.Error, EOFError, OSError):
        return None


def is_audible(samples: np.ndarray, rate_hz: int = RATE_HZ) -> bool:
    """int16 samples: whether any 100 ms of them can be heard."""
    window = max(1, rate_hz // 10)
    usable = samples.astype(np.float64)
    if len(usable) < window:
        return bool(len(usable)) and float(np.sqrt(np.mean(usable**2))) >= AUDIBLE_RMS
    blocks = usable[: len(usable) // window * window].reshape(-1, window)
    return float(np.sqrt(np.max(np.mean(blocks**2, axis=1)))) >= AUDIBLE_RMS
