"""Speech from text by the espeak-ng library of the `espeakng-loader` wheel, as plain PCM bytes.

Owns the C binding and the rule that one caller at a time may use it. Knows nothing of files, caches or calls.
"""

import ctypes
import io
import os
import re
import threading
import wave
from collections.abc import Callable
from typing import Final

import espeakng_loader
import numpy as np

from espeak.errors import InvalidRequestError, LibraryUnavailableError, SynthesisError, UnknownVoiceError
from espeak.resample import resample

# OpenAI's own limit for one speech request; about five minutes of speech, past which a caller has hung up.
MAX_TEXT_CHARS: Final = 4096
SAMPLE_RATES_HZ: Final = (8000, 16000, 22050, 24000, 48000)
# espeak-ng's documented ranges.
RATE_WPM_RANGE: Final = (80, 450)
PITCH_RANGE: Final = (0, 100)

# From espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2  # the callback runs in our thread and no audio device is opened
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1  # neither espeakSSML nor espeakPHONEMES: a text is only ever read out
_POS_CHARACTER = 1
_PARAM_RATE = 1
_PARAM_PITCH = 3

# A voice name reaches a path inside the library's data folder, so it may hold no separator.
_VOICE_NAME = re.compile(r"[A-Za-z0-9_+-]{1,64}")
# Names people use for a voice whose file is called otherwise.
_ALIASES = {"en-gb": "en", "es-es": "es", "fr-fr": "fr", "de-de": "de"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Library:
    """The loaded C library and the buffer its callback fills; used only with the module's lock held."""

    def __init__(self) -> None:
        try:
            self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
            data_path = espeakng_loader.get_data_path()
        except (OSError, RuntimeError) as error:
            raise LibraryUnavailableError(f"cannot load espeak-ng: {error}") from error
        self._chunks: list[bytes] = []
        self.native_rate_hz = int(
            self._lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(data_path), _INITIALIZE_DONT_EXIT)
        )
        if self.native_rate_hz <= 0:
            raise LibraryUnavailableError(f"espeak-ng could not start with the data in {data_path}")
        self._lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        self._lib.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        self._callback: Callable[..., int] = _Callback(self._collect)  # kept: C holds only the bare pointer
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: object) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, count * 2))
        return 0

    def synth(self, text: str, voice: str, rate_wpm: int, pitch: int) -> bytes:
        language, plus, variant = voice.partition("+")
        name = _ALIASES.get(language.lower(), language) + plus + variant
        if self._lib.espeak_SetVoiceByName(name.encode()) != 0:
            raise UnknownVoiceError(f"espeak-ng has no voice {voice!r}")
        self._lib.espeak_SetParameter(_PARAM_RATE, rate_wpm, 0)
        self._lib.espeak_SetParameter(_PARAM_PITCH, pitch, 0)
        encoded = text.encode("utf-8", "replace")
        self._chunks.clear()
        code = self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        audio = b"".join(self._chunks)
        self._chunks.clear()
        if code != 0:
            raise SynthesisError(f"espeak-ng failed with code {code}")
        return audio


# Two threads inside the library at once abort the process ("double free").
_lock = threading.Lock()
_library: _Library | None = None


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


# A fork while another thread renders would leave the child's lock held by nobody.
os.register_at_fork(after_in_child=_renew_lock)


def _check(text: str, voice: str, rate_wpm: int, pitch: int, sample_rate_hz: int) -> str:
    clean = _CONTROL.sub(" ", text).strip()
    if not clean:
        raise InvalidRequestError("there is no text to speak")
    if len(clean) > MAX_TEXT_CHARS:
        raise InvalidRequestError(
            f"the text has {len(clean)} characters, at most {MAX_TEXT_CHARS} are rendered at once"
        )
    if not _VOICE_NAME.fullmatch(voice):
        raise UnknownVoiceError(f"not a voice name: {voice!r}")
    if not RATE_WPM_RANGE[0] <= rate_wpm <= RATE_WPM_RANGE[1]:
        raise InvalidRequestError(f"rate_wpm is {rate_wpm}, must be {RATE_WPM_RANGE[0]} to {RATE_WPM_RANGE[1]}")
    if not PITCH_RANGE[0] <= pitch <= PITCH_RANGE[1]:
        raise InvalidRequestError(f"pitch is {pitch}, must be {PITCH_RANGE[0]} to {PITCH_RANGE[1]}")
    if sample_rate_hz not in SAMPLE_RATES_HZ:
        raise InvalidRequestError(f"sample_rate_hz is {sample_rate_hz}, must be one of {SAMPLE_RATES_HZ}")
    return clean


def render(
    text: str, *, voice: str = "en-us", rate_wpm: int = 160, pitch: int = 50, sample_rate_hz: int = 8000
) -> bytes:
    """Speech as int16 little-endian mono PCM at `sample_rate_hz`.

    `voice` is an espeak-ng name, with a variant if wanted ("en-us", "en-gb+f3"). Blocks for some milliseconds and
    waits for another thread that renders: never call it on an event loop. Two renderings of the same text sound the
    same but differ by some milliseconds and bits (the library keeps phases between them): key a cache by the arguments.
    Raises InvalidRequestError, UnknownVoiceError, SynthesisError or LibraryUnavailableError.
    """
    global _library
    clean = _check(text, voice, rate_wpm, pitch, sample_rate_hz)
    with _lock:
        if _library is None:
            _library = _Library()
        audio = _library.synth(clean, voice, rate_wpm, pitch)
        native_rate_hz = _library.native_rate_hz
    samples = np.frombuffer(audio, dtype=np.int16)
    return resample(samples, native_rate_hz, sample_rate_hz).astype("<i2").tobytes()


def wav(pcm: bytes, sample_rate_hz: int) -> bytes:
    """A WAV file's bytes around int16 little-endian mono PCM."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm)
    return buffer.getvalue()
