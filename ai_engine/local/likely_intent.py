"""Which of a service's intents a caller's own words most likely mean.

Owns what the evidence comes to. A sentence like an example is as good as the example; other sentences are weighed by how near
in meaning they are to the examples, by how many of each intent's examples use the same words and by how much they sound alike
(for what was misheard), and what that comes to is never sure: it is for asking back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ai_engine.local.likeness import likeness, weight, word_likeness, words_of
from ai_engine.local.meaning import Meaning
from ai_engine.local.sounds import Sounds

# From here on a sentence counts as the example that it is like, and is as sure as that.
LIKE_AN_EXAMPLE = 0.85
# What the vectors', the words' and the sounds' evidence weigh, in natural logarithms. Of 420 renderings as they were heard, the
# right intent was the likeliest for 85 in 100 of one list and 91 of another with the first two; by the words alone for 61 and 80.
MEANING_WEIGHT = 8.0
WORDS_WEIGHT = 0.5
SOUNDS_WEIGHT = 12.0
# What callers say to no purpose: a sentence that is nearer to one of these than to any intent is about none, unless it sounds like
# an example: comparing the sounds of these as well kept one sentence in fifty out, and 15 of a thousand that were meant.
SMALL_TALK = (
    "yes", "no", "hello", "hello there", "good morning", "good evening", "thank you", "thanks", "please", "could you please",
    "um well", "wait a moment please", "hold on", "just a second", "what did you say", "can you say that again",
    "i do not know", "i do not understand what you mean", "never mind", "that is all", "goodbye",
    "what a lovely day", "the weather is nice", "tell me a joke", "sing a song",
)  # fmt: skip
# What share of an intent's examples use a word that none uses: without it one word would decide alone.
SHARE_OF_UNUSED = 0.1
# Less than this chance, or neither this near in meaning nor this alike in sound, and callers are not even asked about it. Of 1,020
# renderings of 170 sentences, as they were heard, 83 in 100 were asked about the right intent and 11 about the wrong one (79 and 12
# without the sounds), and 25 of 50 sentences about something else were asked about (26).
LEAST_NEARNESS = 0.18
LEAST_ALIKE = 0.25
LEAST_CHANCE = 0.4
# What the likeliest of the rest are told apart by: from 0.5, where the worker asks back, to what is not yet sure.
ASKED_FROM, ASKED_TO = 0.5, 0.79


def likeliest(
    said: Sequence[str], sentences: Sequence[Sequence[str]], meaning: Meaning, sounds: Sounds
) -> tuple[int, float]:
    """``sentences`` are each intent's examples. Which intent, and how sure that is, from 0 to 1: below 0.5 it is no more than
    the best of them.
    """
    if not said or not sentences:
        return 0, 0.0
    examples = [[words_of(text) for text in of_one] for of_one in sentences]
    alike = [max((likeness(said, example, LIKE_AN_EXAMPLE) for example in of_one), default=0.0) for of_one in examples]
    most_alike = max(range(len(alike)), key=alike.__getitem__)
    if alike[most_alike] >= LIKE_AN_EXAMPLE:
        return most_alike, alike[most_alike]
    vector = meaning.of(" ".join(said))
    near, (idle,) = meaning.nearness(vector, sentences), meaning.nearness(vector, [SMALL_TALK])
    alike_in_sound, by_sound = sounds.compared(said, examples)
    by_meaning, by_words = meaning.apart(vector, sentences), _evidence(said, examples)
    points = [
        MEANING_WEIGHT * (nearness + meant) + WORDS_WEIGHT * known + SOUNDS_WEIGHT * sounded
        for nearness, meant, known, sounded in zip(near, by_meaning, by_words, by_sound, strict=True)
    ]
    best = max(range(len(points)), key=points.__getitem__)
    chance = 1 / sum(math.exp(other - points[best]) for other in points)
    is_near = near[best] >= max(LEAST_NEARNESS, idle) or alike_in_sound[best] >= LEAST_ALIKE
    if chance < LEAST_CHANCE or not is_near:
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
    used = Counter(word for example in examples for word in set(example))
    return {word: count / len(examples) for word, count in used.items()}
