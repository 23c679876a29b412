"""How near two sentences are in meaning, by word vectors that were learnt from a great deal of text.

Owns the vectors: WordLlama's, which its wheel carries. They know that a parcel is a package, which no list of ours could.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from wordllama.inference import WordLlamaInference

Vectors = npt.NDArray[np.float32]

# The best example alone may be so by chance; all of them together say what an intent is about, but not that it is like one.
BEST = 3
# How little a single example turns the line between intents: with a tenth of it they were told apart 2 in 100 times worse.
RIDGE = 1.0
# Flows that are served at once.
REMEMBERED = 20


@dataclass(frozen=True, slots=True)
class Learnt:
    """From the examples of one flow: their vectors, whose each is, and what tells the intents apart."""

    vectors: Vectors
    of_intent: tuple[slice, ...]
    apart: Vectors


class Meaning:
    """Loading takes a second and 60 MB; a sentence a tenth of a millisecond, and once for each flow some milliseconds more."""

    def __init__(self) -> None:
        self._model = _model()
        self._learnt = lru_cache(REMEMBERED)(self._learn)

    def of(self, said: str) -> Vectors:
        """The sentence's vector, for the questions below."""
        vector: Vectors = self._vectors((said,))[0]
        return vector

    def nearness(self, said: Vectors, examples: Sequence[Sequence[str]]) -> list[float]:
        """For each intent's examples, from -1 to 1: the mean of the nearest example and of the nearest :data:`BEST`."""
        learnt = self._from(examples)
        near = learnt.vectors @ said
        return [nearest(near[one]) for one in learnt.of_intent]

    def apart(self, said: Vectors, examples: Sequence[Sequence[str]]) -> list[float]:
        """For each intent, about 1 for what is said of it alone and about 0 for the others: ridge regression on the examples."""
        return [float(one) for one in said @ self._from(examples).apart]

    def _from(self, examples: Sequence[Sequence[str]]) -> Learnt:
        return self._learnt(tuple(tuple(of_one) for of_one in examples))

    def _learn(self, examples: tuple[tuple[str, ...], ...]) -> Learnt:
        vectors = self._vectors([sentence for of_one in examples for sentence in of_one])
        of_intent = places(examples)
        return Learnt(vectors, of_intent, telling_apart(vectors, of_intent, RIDGE))

    def _vectors(self, sentences: Sequence[str]) -> Vectors:
        return np.asarray(self._model.embed(list(sentences), norm=True), dtype=np.float32)


def places(examples: Sequence[Sequence[object]]) -> tuple[slice, ...]:
    """Where each intent's are when the examples of all stand in one row."""
    ends = list(itertools.accumulate(map(len, examples)))
    return tuple(itertools.starmap(slice, zip([0, *ends], ends, strict=False)))


def nearest(near: Vectors) -> float:
    """Of how near one intent's examples are: the mean of the nearest and of the nearest :data:`BEST`."""
    if not len(near):  # an intent without examples is like nothing that is said
        return -1.0
    nearest_first = np.sort(near)[::-1]
    return float((nearest_first[0] + nearest_first[:BEST].mean()) / 2)


def telling_apart(vectors: Vectors, of_intent: Sequence[slice], ridge: float) -> Vectors:
    """By ridge regression on the examples' vectors: what a sentence's vector is multiplied with, a column for each intent."""
    wanted = np.zeros((len(vectors), len(of_intent)), np.float32)
    for number, one in enumerate(of_intent):
        wanted[one, number] = 1
    wanted -= 1 / max(1, len(of_intent))
    count, size = vectors.shape
    apart: Vectors
    if count < size:  # the same in its dual form: what is solved is as large as the smaller of both
        apart = vectors.T @ np.linalg.solve(vectors @ vectors.T + ridge * np.eye(count, dtype=np.float32), wanted)
    else:
        apart = np.linalg.solve(vectors.T @ vectors + ridge * np.eye(size, dtype=np.float32), vectors.T @ wanted)
    return apart.astype(np.float32)


@cache
def the_meaning() -> Meaning:
    """This process's."""
    return Meaning()


def _model() -> WordLlamaInference:
    """Raises ModuleNotFoundError when the package is not installed.

    Importing it takes half a second, which only this engine's process should spend, and gives the root logger a handler and
    a level of its own, which are taken away again. It looks for its vocabulary in its cache only, and would ask the internet for
    the file that lies beside it.
    """
    root = logging.getLogger()
    level, handlers = root.level, root.handlers.copy()
    try:
        import wordllama
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
