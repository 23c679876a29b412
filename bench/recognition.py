"""How well the local recogniser's grammar hears the sentences it holds: streaming or whole, under kinds of line noise.

Run with ``python -m bench.recognition``; writes ``bench/results/recognition.json``. Uses the published flow's snapshot,
whose path is the one argument.
"""

from __future__ import annotations

import importlib.metadata
import math
import random
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import espeak.voice
from ai_engine.local.decoding import Decoder
from ai_engine.local.grammar import ANSWERS, build_grammar, read_dictionary
from bench.results_file import FOLDER, Figure, machine, write_results
from callflows.definition.flow import decode_snapshot

RESULT = FOLDER / "recognition.json"
VOICES = ("en-us+klatt", "en-us+m6", "en-us+f1", "en-us+f2")
# The comparison takes two of them, so that it ends within two minutes.
TWO = VOICES[1:4:2]
FOREIGN = (
    "the quick brown fox jumps over the lazy dog", "please play some jazz music", "tomorrow it will rain in london",
    "my cat likes fish and milk", "banana", "where did you put the keys", "hello", "good morning",
    "i am calling about the weather", "how do i reset my password", "the sun is shining", "um well",
    "let me think about that for a moment",
)  # fmt: skip
# What is under the words, in steps of a 16-bit sample: nothing before and after them, nothing at all, noise.
LINES = {"digital silence": 0, "noise of 20 LSB": 20, "noise of 60 LSB": 60}
CHUNK_BYTES = 1600
# What was asked for of the demonstration's utterances.
AIM = 0.9
DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Whole(Decoder):
    """Decodes the utterance at once when it is over, as ``full_utt=True`` allows."""

    def start(self) -> None:
        super().start()
        self._audio = b""

    def hear(self, pcm: bytes) -> str:
        if not self.mean:
            return super().hear(pcm)
        self._audio += pcm
        return ""

    def finish(self) -> tuple[str, list[tuple[str, float]]]:
        process_raw = self._decoder.process_raw
        audio = self._widened(np.frombuffer(self._audio, dtype="<i2")).tobytes()
        process_raw(audio, no_search=False, full_utt=True)
        self._loud_frames = 1_000_000  # judged by the search alone
        return super().finish()


def line(words: str, voice: str, noise_lsb: int) -> bytes:
    speech = np.frombuffer(espeak.voice.render(words, voice=voice, rate_wpm=150), dtype="<i2")
    samples = np.concatenate([np.zeros(4000), speech, np.zeros(6400)])
    samples += np.random.default_rng(8021).integers(-noise_lsb, noise_lsb, samples.size, endpoint=True)
    return bytes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())


def share(
    decoder: Decoder, said: Iterable[str], noise_lsb: int, right: set[str] | None = None, voices: Sequence[str] = VOICES
) -> Figure:
    """One figure: how many are exactly right, each with each voice. One voice follows another in the same decoder."""
    wanted = [(words, voice) for voice in voices for words in said]
    count = 0
    for words, voice in wanted:
        pcm = line(words, voice, noise_lsb)
        decoder.start()
        for start in range(0, len(pcm), CHUNK_BYTES):
            decoder.hear(pcm[start : start + CHUNK_BYTES])
        count += decoder.finish()[0] in (right or {words})
    return Figure(count, f"of {len(wanted)}", f"at least {math.ceil(len(wanted) * AIM)}")


def main() -> None:
    snapshot = decode_snapshot(Path(sys.argv[1]).read_bytes())
    grammar = build_grammar(snapshot, read_dictionary())
    # Of the flow's examples those that it holds; the others are for the second hearing (``bench.spoken_wishes``).
    utterances = [words for words in grammar.phrases if words not in ANSWERS]
    numbers = [" ".join(random.Random(seed).choices(DIGIT_WORDS, k=4)) for seed in range(10)]
    figures: dict[str, Figure] = {}
    started = time.monotonic()
    streaming, whole = Decoder(grammar), Whole(grammar)
    for name, noise_lsb in LINES.items():
        figures[f"every second utterance, streaming, {name}"] = share(streaming, utterances[::2], noise_lsb, voices=TWO)
        figures[f"every second utterance, whole, {name}"] = share(whole, utterances[::2], noise_lsb, voices=TWO)
    figures["all utterances, streaming, noise of 20 LSB"] = share(streaming, utterances, 20)
    figures["four two one seven, streaming, noise of 20 LSB"] = share(streaming, ["four two one seven"], 20)
    figures["any four digits, streaming, noise of 20 LSB"] = share(streaming, numbers, 20)
    figures["short answers, streaming, noise of 20 LSB"] = share(streaming, ANSWERS, 20)
    figures["foreign sentences rejected, streaming, noise of 20 LSB"] = share(streaming, FOREIGN, 20, {"", "[unk]"})
    figures["time taken"] = Figure(round(time.monotonic() - started, 1), "s")
    packages = f"pocketsphinx {importlib.metadata.version('pocketsphinx')}"
    write_results(RESULT, "python -m bench.recognition FLOWS.json", machine(packages), figures)
    sys.stdout.write(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
