"""Which of a service's intents a caller's own words most likely mean. Pure.

Owns the evidence of single words and what it comes to. A sentence like an example is as good as the example; other words are
weighed by how many of each intent's examples use them, and what that comes to is never sure: it is for asking back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ai_engine.local.likeness import likeness, weight, word_likeness, words_of

# From here on a sentence counts as the example that it is like, and is as sure as that.
LIKE_AN_EXAMPLE = 0.85
# What a sentence's likeness to the best example weighs beside its words' evidence, which is in natural logarithms.
EXAMPLE_WEIGHT = 2.0
# What share of an intent's examples use a word that none uses: without it one word would decide alone.
SHARE_OF_UNUSED = 0.1
# Less than this and callers are not even asked about it. Of 52 renderings of sentences about something else 10 reached both, of
# 300 of paraphrases 272, 5 more of them for the wrong intent: tried on the words that were heard.
LEAST_CHANCE = 0.35
LEAST_EVIDENCE = 0.3
# What the likeliest of the rest are told apart by: from 0.5, where the worker asks back, to what is not yet sure.
ASKED_FROM, ASKED_TO = 0.5, 0.79


def likeliest(said: Sequence[str], sentences: Sequence[Sequence[str]]) -> tuple[int, float]:
    """``sentences`` are each intent's examples. Which intent, and how sure that is, from 0 to 1: below 0.5 it is no more than
    the best of them.
    """
    if not said or not sentences:
        return 0, 0.0
    examples = [[words_of(text) for text in of_one] for of_one in sentences]
    alike = [max(likeness(said, example) for example in of_one) for of_one in examples]
    evidence = _evidence(said, examples)
    points = [known + EXAMPLE_WEIGHT * like for known, like in zip(evidence, alike, strict=True)]
    best = max(range(len(sentences)), key=points.__getitem__)
    if alike[best] >= LIKE_AN_EXAMPLE:
        return best, alike[best]
    chance = 1 / sum(math.exp(other - points[best]) for other in points)
    if chance < LEAST_CHANCE or evidence[best] < LEAST_EVIDENCE:
        return best, min(chance, alike[best]) * ASKED_FROM
    return best, ASKED_FROM + (ASKED_TO - ASKED_FROM) * chance


def _evidence(said: Sequence[str], examples: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """For each intent: how much likelier its callers use these words than all callers do."""
    evidence = [0.0] * len(examples)
    used = [_shares(of_one) for of_one in examples]
    for word in dict.fromkeys(said):
        shares = [max((word_likeness(word, other) * share for other, share in of_one.items()), default=0.0) for of_one in used]
        if not any(shares):
            continue
        average = sum(shares) / len(shares) + SHARE_OF_UNUSED
        for number, share in enumerate(shares):
            evidence[number] += weight(word) * math.log((share + SHARE_OF_UNUSED) / average)
    return evidence


def _shares(examples: Sequence[Sequence[str]]) -> dict[str, float]:
    """Word to the share of the examples that use it."""
    words = [word for example in examples for word in set(example)]
    return {word: words.count(word) / len(examples) for word in set(words)}
