"""Speech to words in one process: a few pocketsphinx decoders, each with one caller's audio at a time.

Owns the front end (8 kHz telephone audio to what a 16 kHz model expects), the cepstral mean and the decision that
nothing was said. Streams, pipes and sockets are its neighbours' matter.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pocketsphinx

import espeak.voice
from ai_engine.local.grammar import Grammar
from ai_engine.messages import AUDIO_RATE_HZ

Samples = npt.NDArray[np.int16]

MODEL_RATE_HZ = 16_000
# The model wants energy up to 6.8 kHz, of which a telephone has none: zero-stuffing mirrors the lower band up there,
# and noise fills what stays digitally silent. Clean resampling understood a fifth fewer (bench/recognition.py).
WIDE_NOISE_LSB = 30
_NOISE_SAMPLES = 65_521  # prime: 4 s that line up with nothing
# Moves the model's means from people at 16 kHz to this front end (bench/adapt_recogniser.py makes it). When it was made, 17 of 40
# four-digit numbers were understood without it, with it 31, and voices differed less (bench/recognition.py).
TELEPHONE = Path(__file__).with_name("telephone.mllr")
# What warms a decoder: its running cepstral mean starts cold and would spoil a call's first sentence.
WARM_WORDS, WARM_VOICE = "what are your opening hours please", "en-us+klatt"
# A caller speaks well above the line: frames this loud, and this many, or nothing was said.
FRAME = AUDIO_RATE_HZ // 50
LOUD_RMS_LSB = 150.0
LOUD_FRAMES = 6
UNKNOWN = "[unk]"
# Acoustic cost a frame at which it is as likely that the grammar's sentence was said as that something else was: of the 40
# examples that the grammar holds, by four voices, 158 of 160 are heard, and 6 of 52 foreign sentences are taken for one
# (bench/results/recognition.json).
EVEN_COST = 4.1
CONFIDENCE_SLOPE = 2.5
ACCEPTED = 0.5
# Scores of long words underflow to 0.
TINY = 1e-300


class Decoder:
    """One caller's audio at a time: :meth:`start`, :meth:`hear` …, :meth:`finish`.

    ``mean`` is another decoder's, of whatever grammar: then it need not be warmed, which is most of what making one takes.
    """

    def __init__(self, grammar: Grammar, mean: str = "") -> None:
        self.grammar = grammar
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "words.dict"
            path.write_text(grammar.dictionary, encoding="utf-8")
            self._decoder = pocketsphinx.Decoder(
                hmm=_model(Path(folder)), lm=None, dict=str(path), samprate=MODEL_RATE_HZ, loglevel="FATAL",
                mllr=str(TELEPHONE),
            )  # fmt: skip
        self._decoder.add_jsgf_string("calls", grammar.jsgf)
        self._decoder.activate_search("calls")
        self._noise = np.random.default_rng(1).normal(0, WIDE_NOISE_LSB, _NOISE_SAMPLES)
        self._running = False
        self.mean = ""
        self.mean = mean or self._warmed()

    def _warmed(self) -> str:
        self.start()
        self.hear(_warm_speech())
        self._decoder.end_utt()
        self._running = False
        return str(self._decoder.get_cmn(True))

    def start(self) -> None:
        self.abandon()
        if self.mean:
            self._decoder.set_cmn(self.mean)
        self._decoder.start_utt()
        self._running = True
        self._noise_at = 0
        self._loud_frames = 0
        self._odd = b""
        self._heard = bytearray()

    @property
    def heard(self) -> bytes:
        """The audio since :meth:`start`."""
        return bytes(self._heard)

    def abandon(self) -> None:
        if self._running:
            self._decoder.end_utt()
        self._running = False

    def hear(self, pcm: bytes) -> str:
        """int16 little-endian mono at 8 kHz, any number of bytes. The words so far."""
        pcm = self._odd + pcm
        even = len(pcm) // 2 * 2
        self._odd = pcm[even:]
        self._heard += pcm[:even]
        samples = np.frombuffer(pcm[:even], dtype="<i2")
        if samples.size:
            self._loud_frames += loud_frames(samples)
            self._decoder.process_raw(self._widened(samples).tobytes())
        return self._words() if self._loud_frames >= LOUD_FRAMES else ""

    def finish(self) -> tuple[str, list[tuple[str, float]]]:
        """The final words, and each with its confidence; empty when nothing was said, ``[unk]`` when not understood."""
        self._decoder.end_utt()
        self._running = False
        if self._loud_frames < LOUD_FRAMES:
            return "", []
        words = self.grammar.completed(self._words())
        if not words:
            return UNKNOWN, [(UNKNOWN, 0.0)]
        heard = self._costs()
        if _confidence(sum(cost for _, cost, _ in heard), sum(frames for _, _, frames in heard)) < ACCEPTED:
            return UNKNOWN, [(UNKNOWN, 0.0)]
        confidences = [_confidence(cost, frames) for _, cost, frames in heard]
        # A word that was completed was not heard.
        return words, list(zip(words.split(), itertools.chain(confidences, itertools.repeat(0.0)), strict=False))

    def _costs(self) -> list[tuple[str, float, int]]:
        """Each word's acoustic cost (natural logarithm) and 10 ms frames; silence is none."""
        return [
            (part.word, -math.log(max(part.ascore, TINY)), part.end_frame - part.start_frame + 1)
            for part in self._decoder.seg() or ()
            if not part.word.startswith("<")
        ]

    def _words(self) -> str:
        found = self._decoder.hyp()
        return found.hypstr.strip() if found else ""

    def _widened(self, samples: Samples) -> Samples:
        wide = np.take(self._noise, range(self._noise_at, self._noise_at + 2 * samples.size), mode="wrap")
        self._noise_at = (self._noise_at + 2 * samples.size) % _NOISE_SAMPLES
        wide[::2] += samples * 2.0
        return np.clip(np.rint(wide), -32768, 32767).astype(np.int16)


def _confidence(cost: float, frames: int) -> float:
    """From 0 to 1. A grammar always finds something, so what it finds must also sound like it."""
    per_frame = cost / frames if frames else math.inf
    return 1 / (1 + math.exp(min(50.0, CONFIDENCE_SLOPE * (per_frame - EVEN_COST))))


def _model(folder: Path) -> str:
    """The packaged acoustic model without its noise removal, which takes soft word beginnings for noise.

    Its ``feat.params`` wins over every argument, so it is a folder of links with a file of its own.
    """
    model = Path(pocketsphinx.get_model_path("en-us/en-us"))
    for file in model.iterdir():
        if file.name != "feat.params":
            (folder / file.name).symlink_to(file)
    params = (model / "feat.params").read_text(encoding="utf-8")
    (folder / "feat.params").write_text(params.replace("-remove_noise yes", "-remove_noise no"), encoding="utf-8")
    return str(folder)


def loud_frames(samples: Samples) -> int:
    """How many whole 20 ms frames are louder than a line's noise."""
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    return int(np.count_nonzero(np.sqrt(np.mean(frames**2, axis=1)) > LOUD_RMS_LSB))


def _warm_speech() -> bytes:
    silence = bytes(AUDIO_RATE_HZ // 2 * 2)
    return silence + espeak.voice.render(WARM_WORDS, voice=WARM_VOICE, rate_wpm=150) + silence
