"""How loud a reply may be: no louder than the prompts, for the caller's ear and for telling its echo from a voice. Pure."""

from __future__ import annotations

import numpy as np

# What prompts are made to (callflows.rendering): -20 dB full scale of speech.
PROMPT_RMS = 32767 * 10 ** (-20 / 20)
WINDOW_SAMPLES = 160


def no_louder_than_prompts(pcm: bytes) -> bytes:
    """int16 little-endian mono at 8000 Hz, in and out; what is quiet stays as it is."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2").astype(np.float64)
    windows = samples[: len(samples) // WINDOW_SAMPLES * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)
    if not len(windows):
        return pcm
    # By the louder half of its windows, as prompts are: pauses between words are no part of how loud speech is.
    powers = np.sort(np.mean(np.square(windows), axis=1))
    rms = float(np.sqrt(np.mean(powers[len(powers) // 2 :])))
    if rms <= PROMPT_RMS:
        return pcm
    return bytes((samples * (PROMPT_RMS / rms)).astype("<i2").tobytes())
