"""How much two sentences sound alike: what a recogniser misheard mostly sounds like what was said.

Owns the sounds that count as the same over a telephone, and the comparison: by runs of two to four sounds, rare ones weighing
more, across the words' borders, which is where a recogniser errs.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from ai_engine.local.grammar import Dictionary, read_dictionary
from ai_engine.local.meaning import REMEMBERED, nearest, places, telling_apart

Vectors = npt.NDArray[np.float32]

# One letter for the CMU dictionary's sounds that are taken for one another at 8 kHz: voiced for voiceless, n for m, th for f.
SAME = {
    "IH": "i", "IY": "i", "Y": "i", "EH": "e", "EY": "e", "AE": "a", "AA": "o", "AO": "o", "OW": "o", "AH": "u", "UH": "w",
    "UW": "w", "W": "w", "ER": "r", "R": "r", "AY": "y", "AW": "v", "OY": "j", "P": "p", "B": "p", "T": "t", "D": "t",
    "K": "k", "G": "k", "F": "f", "V": "f", "TH": "f", "DH": "f", "S": "s", "Z": "s", "SH": "x", "ZH": "x", "CH": "x",
    "JH": "x", "M": "n", "N": "n", "NG": "n", "L": "l", "HH": "",
}  # fmt: skip
RUNS = (2, 3, 4)
# Less than for meanings: the same sounds seldom come by chance.
RIDGE = 0.3
# Of each flow, evenly of its intents, the first ones first: with 400 it is learnt in a tenth of a second, in which the engine hears
# nobody, and keeps 10 MB.
MOST_EXAMPLES = 400


@dataclass(frozen=True, slots=True)
class Learnt:
    """From the examples of one flow: place and weight of each run of sounds, the examples' vectors, whose each is, and what tells
    the intents apart."""

    weights: dict[str, tuple[int, float]]
    vectors: Vectors
    of_intent: tuple[slice, ...]
    apart: Vectors

    def vector(self, runs: Counter[str]) -> Vectors:
        """Of length 1, or nothing at all."""
        found = np.zeros(len(self.weights), np.float32)
        for run, count in runs.items():
            if run in self.weights:
                place, weight = self.weights[run]
                found[place] = (1 + math.log(count)) * weight
        length = float(np.linalg.norm(found))
        return found / length if length else found


class Sounds:
    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._learnt = lru_cache(REMEMBERED)(self._learn)

    def compared(self, said: Sequence[str], examples: Sequence[Sequence[Sequence[str]]]) -> tuple[list[float], list[float]]:
        """Words, with each intent's examples as words: how near each intent's examples sound, from 0 to 1, and about 1 for
        what sounds like it alone and about 0 for the others."""
        share = MOST_EXAMPLES // max(1, len(examples))
        learnt = self._learnt(tuple(tuple(map(tuple, of_one[:share])) for of_one in examples))
        vector = learnt.vector(self._runs(said))
        near = learnt.vectors @ vector
        return [nearest(near[one]) for one in learnt.of_intent], [float(one) for one in vector @ learnt.apart]

    def _learn(self, examples: tuple[tuple[tuple[str, ...], ...], ...]) -> Learnt:
        runs = [self._runs(example) for of_one in examples for example in of_one]
        used = Counter(itertools.chain.from_iterable(runs))
        weights = {run: (place, math.log1p(len(runs) / count)) for place, (run, count) in enumerate(used.items())}
        of_intent = places(examples)
        empty = Learnt(weights, np.zeros((0, len(weights)), np.float32), of_intent, np.zeros((len(weights), 0), np.float32))
        vectors = np.array([empty.vector(one) for one in runs], np.float32).reshape(len(runs), len(weights))
        return Learnt(weights, vectors, of_intent, telling_apart(vectors, of_intent, RIDGE))

    def _runs(self, words: Iterable[str]) -> Counter[str]:
        sounds = "".join(map(self._sounds, words))
        return Counter(sounds[at : at + length] for length in RUNS for at in range(len(sounds) - length + 1))

    def _sounds(self, word: str) -> str:
        """A word that the dictionary lacks sounds as it is written, for want of better."""
        pronunciations = self._dictionary.get(word)
        if not pronunciations:
            return word
        return "".join(SAME.get(sound, "") for sound in pronunciations[0].split())


@cache
def the_sounds() -> Sounds:
    """This process's."""
    return Sounds(read_dictionary())
