"""Callers' speech as PCM, rendered ahead and kept: in memory, and on disk between runs.

Owns the cache. Rendering is :mod:`espeak`'s, in a thread, because it takes milliseconds and has a lock of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import espeak.voice

# How callers speak: (espeak-ng voice, words a minute). Measured with pocketsphinx and a grammar of 41 utterances, line
# noise under them: 40 or 41 understood of each of these; plain "en-us" 38, "en-gb" 25 to 32, most others fewer.
VOICES: Final = (
    ("en-us+f1", 150),
    ("en-us+f2", 150),
    ("en-us+m6", 150),
    ("en-us+klatt", 150),
    ("en-us+klatt2", 150),
)


class Voices:
    def __init__(self, cache_dir: Path | None) -> None:
        self._cache_dir = cache_dir
        self._spoken: dict[tuple[str, str, int], bytes] = {}
        self._rendering: dict[tuple[str, str, int], asyncio.Future[bytes]] = {}

    async def speech(self, text: str, voice: str, rate_wpm: int) -> bytes:
        """int16 little-endian mono at 8 kHz. Raises espeak's errors."""
        key = (text, voice, rate_wpm)
        if key in self._spoken:
            return self._spoken[key]
        if key not in self._rendering:
            self._rendering[key] = asyncio.ensure_future(asyncio.to_thread(self._load_or_render, *key))
        try:
            self._spoken[key] = await asyncio.shield(self._rendering[key])
        finally:
            if self._rendering[key].done():
                self._rendering.pop(key)
        return self._spoken[key]

    async def prepare(self, texts: Iterable[str]) -> None:
        """Render everything now, so that no caller waits for it."""
        for text in sorted(set(texts)):
            for voice, rate_wpm in VOICES:
                await self.speech(text, voice, rate_wpm)

    def _load_or_render(self, text: str, voice: str, rate_wpm: int) -> bytes:
        if self._cache_dir is None:
            return espeak.voice.render(text, voice=voice, rate_wpm=rate_wpm)
        name = hashlib.sha256(f"{voice}\0{rate_wpm}\0{text}".encode()).hexdigest()[:32]
        path = self._cache_dir / f"{name}.pcm"
        if path.exists():
            return path.read_bytes()
        pcm = espeak.voice.render(text, voice=voice, rate_wpm=rate_wpm)
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.new")
        partial.write_bytes(pcm)
        partial.replace(path)  # another process may render the same words
        return pcm
