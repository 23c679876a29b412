"""What a caller said in their own words, after they have said it: Moonshine's small English model, leaning to a flow's words.

Owns reading the model that comes in the ``moonshine-voice`` package, the search for the likeliest words and how far that leans
to what callers of this service are expected to say. A grammar hears its own sentences better; this hears all others.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from ai_engine.messages import AUDIO_RATE_HZ
from espeak.resample import resample

Floats = npt.NDArray[np.float32]
Cache = dict[str, Floats]

MODEL_RATE_HZ = 16_000
LAYERS, HEADS, HEAD_SIZE = 6, 8, 36
START, END = 1, 2
# The model repeats itself rather than end when there is nothing more to hear; nobody says more than this.
TOKENS_A_SECOND = 6.5
# Below a tenth of a second the model's first layers have nothing to look at; above that its time grows with the square, and
# whoever else is heard by this process would wait. A turn listens for 8 s.
LEAST_S, MOST_S = 0.1, 15.0
# How many beginnings are followed at once, and how many next pieces of each are looked at. Half of them hear 2 in 100 less.
HYPOTHESES = 6
CONTINUATIONS = 40
# In natural logarithms, as the model's own: a letter of a word that the flow has, a word after another as in one of the flow's
# sentences, and a word that it has not.
LETTER = 0.4
PAIR = 1.0
STRANGER = 1.5
# What has not ended may still gain by the word that it is in; an end that is better by this is the end.
HOPE = PAIR + 4 * LETTER
# A machine without time must not hold the caller: the recogniser's client waits 1.2 s for a word, and its process would be taken
# for dead after five, with every caller that it hears.
LONGEST_S = 0.9
# Below this chance the model still hears somebody speak: to stop there is no way round words that the flow does not have.
LEAST_END = -3.0
_WORD_BEGINS = "\N{LOWER ONE EIGHTH BLOCK}"


class Leaning:
    """How much likelier words are because a service's sentences hold them."""

    def __init__(self, sentences: Iterable[str] = ()) -> None:
        """``sentences`` are lower case words, without punctuation."""
        said = [sentence.split() for sentence in sentences]
        self._words = frozenset(itertools.chain.from_iterable(said))
        self._beginnings = frozenset(word[:end] for word in self._words for end in range(1, len(word) + 1))
        self._pairs = frozenset(pair for words in said for pair in itertools.pairwise(("", *words)))

    def begun(self, letters: str) -> float:
        """Of a word that may go on."""
        return LETTER * len(letters) if letters in self._beginnings else 0.0

    def whole(self, before: tuple[str, ...], word: str) -> float:
        """What is said again is no likelier for it: otherwise the search would go round in what the flow likes to hear."""
        if not word or not self._words:
            return 0.0
        pair = (before[-1] if before else "", word)
        if word not in self._words or pair in itertools.pairwise(("", *before)):
            return -STRANGER
        return LETTER * len(word) + (PAIR if pair in self._pairs else 0.0)


class Hypothesis(msgspec.Struct, frozen=True):
    """A beginning. ``score`` counts the model's opinion and how much is leant to its whole ``words``, ``begun`` the last one's."""

    text: str = ""
    score: float = 0.0
    begun: float = 0.0
    words: tuple[str, ...] = ()
    word: str = ""

    @property
    def total(self) -> float:
        return self.score + self.begun

    def with_piece(self, piece: str, chance: float, leaning: Leaning) -> Hypothesis:
        """``chance`` is the piece's natural logarithm."""
        letters = "".join(filter(_belongs_to_word, piece.lower()))
        if not piece.startswith(_WORD_BEGINS):
            word = self.word + letters
            return Hypothesis(self.text + piece, self.score + chance, leaning.begun(word), self.words, word)
        ended = self.ended(chance, leaning)
        return Hypothesis(f"{self.text} {piece[1:]}", ended.score, leaning.begun(letters), ended.words, letters)

    def ended(self, chance: float, leaning: Leaning) -> Hypothesis:
        words = (*self.words, self.word) if self.word else self.words
        return Hypothesis(self.text, self.score + chance + leaning.whole(self.words, self.word), 0.0, words)


class OwnWords:
    """One utterance at a time. Loading takes half a second and 150 MB; hearing a sentence a tenth of a second."""

    def __init__(
        self, leaning: Leaning | None = None, longest_s: float = LONGEST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.leaning = leaning or Leaning()
        self._longest_s = longest_s
        self._clock = clock
        folder = model_folder()
        self._encoder = _session(folder / "encoder_model.ort")
        self._decoder = _session(folder / "decoder_model_merged.ort")
        self._outputs = [output.name for output in self._decoder.get_outputs()]
        self._pieces = read_pieces(folder / "tokenizer.bin")

    def hear(self, pcm: bytes, since_s: float | None = None) -> str | None:
        """int16 little-endian mono at 8 kHz. As it would be written: capitals, punctuation, numerals.

        Empty when nothing was heard, and for what is too short or too long to be a sentence. None: given up ``longest_s`` after
        ``since_s``, by default now: the caller may have waited for others before.
        """
        until = (self._clock() if since_s is None else since_s) + self._longest_s
        samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2").astype(np.int16)
        if not LEAST_S * AUDIO_RATE_HZ <= samples.size <= MOST_S * AUDIO_RATE_HZ:
            return ""
        if self._clock() > until:
            return None
        wide = resample(samples, AUDIO_RATE_HZ, MODEL_RATE_HZ).astype(np.float32)[np.newaxis] / 32768
        (heard,) = self._encoder.run(None, {"input_values": wide, "attention_mask": np.ones(wide.shape, np.int64)})
        return self._likeliest(heard, math.ceil(samples.size / AUDIO_RATE_HZ * TOKENS_A_SECOND), until)

    def _likeliest(self, heard: Floats, limit: int, until: float) -> str | None:
        chances, kept = self._step(heard, [START], _nothing_yet())
        fixed = {name: value for name, value in kept.items() if ".encoder." in name}
        alive, best = [Hypothesis()], Hypothesis(score=-math.inf)
        for _ in range(limit):
            if self._clock() > until:
                return None
            grown = self._grown(alive, chances)
            for _, _, ended in (one for one in grown if one[1] == END):
                best = max(best, ended, key=lambda one: one.total)
            grown = [one for one in grown if one[1] != END][:HYPOTHESES]
            alive = [one for _, _, one in grown]
            if not alive or best.total >= alive[0].total + HOPE:
                break
            parents = [parent for parent, _, _ in grown]
            past = {name: value[parents] for name, value in kept.items() if ".decoder." in name}
            past |= {name: np.repeat(value, len(alive), axis=0) for name, value in fixed.items()}
            chances, kept = self._step(heard, [token for _, token, _ in grown], past)
        else:
            return max([best, *(one.ended(0.0, self.leaning) for one in alive)], key=lambda one: one.total).text.strip()
        return best.text.strip()

    def _grown(self, alive: list[Hypothesis], chances: Floats) -> list[tuple[int, int, Hypothesis]]:
        """Parent, token and hypothesis; the best first."""
        likeliest = np.argpartition(chances, -CONTINUATIONS, axis=1)[:, -CONTINUATIONS:]
        grown = [
            (parent, int(token), self._with(alive[parent], int(token), float(chances[parent, token])))
            for parent in range(len(alive))
            for token in likeliest[parent]
            if token != END or chances[parent, token] >= LEAST_END
        ]
        return sorted(grown, key=lambda one: one[2].total, reverse=True)

    def _with(self, hypothesis: Hypothesis, token: int, chance: float) -> Hypothesis:
        if token == END:
            return hypothesis.ended(chance, self.leaning)
        return hypothesis.with_piece(self._pieces[token], chance, self.leaning)

    def _step(self, heard: Floats, tokens: list[int], past: Cache) -> tuple[Floats, Cache]:
        """Each one's chances of every next piece, as natural logarithms, and the state after it."""
        states = np.repeat(heard, len(tokens), axis=0)
        results = self._decoder.run(
            None,
            {
                "input_ids": np.array(tokens, np.int64)[:, np.newaxis],
                "encoder_hidden_states": states,
                "encoder_attention_mask": np.ones(states.shape[:2], np.int64),
                "use_cache_branch": np.array([tokens != [START]]),
                **past,
            },
        )
        found = dict(zip(self._outputs, results, strict=True))
        logits = found.pop("logits")[:, -1].astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits, {name.replace("present", "past_key_values"): value for name, value in found.items()}


def model_folder() -> Path:
    """Where the package keeps the model. It is found without importing the package, which would load a library of its own."""
    found = importlib.util.find_spec("moonshine_voice")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("moonshine-voice is not installed: run make install")
    return Path(found.origin).parent / "assets" / "tiny-en"


@cache
def read_pieces(path: Path) -> tuple[str, ...]:
    """The model's pieces of words. Each is its length, one byte below 128 and two above, and its bytes."""
    data, at, pieces = path.read_bytes(), 0, []
    while at < len(data):
        size, at = data[at], at + 1
        if size >= 128:
            size, at = size - 128 + data[at] * 128, at + 1
        pieces.append(data[at : at + size].decode("utf-8", errors="replace"))
        at += size
    return tuple(pieces)


def _session(path: Path) -> onnxruntime.InferenceSession:
    """One thread: there is a process for every core already."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _nothing_yet() -> Cache:
    empty = np.zeros((1, HEADS, 0, HEAD_SIZE), np.float32)
    return {
        f"past_key_values.{layer}.{side}.{part}": empty
        for layer in range(LAYERS)
        for side in ("decoder", "encoder")
        for part in ("key", "value")
    }


def _belongs_to_word(letter: str) -> bool:
    return letter.isalnum() or letter == "'"
