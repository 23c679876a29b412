"""What a caller said, out of two hearings of it: the grammar's, which knows the flow's sentences, and their own words. Pure.

Owns which is believed and how sure that is. A grammar always finds one of its sentences, so alone it is not believed when
somebody may say anything.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ai_engine.local.decoding import FRAME, UNKNOWN, Samples
from ai_engine.local.grammar import DIGITS, spoken_words
from ai_engine.local.likeness import FILLERS, likeness, word_likeness

Words = list[tuple[str, float]]

# From here on both heard the same sentence: where an intent was heard wrong by both, they were less alike (0.74 at most).
SAME = 0.75
# Two that agree are sure; own words alone are not: the caller is asked back.
AGREED, OWN_WORDS = 0.95, 0.75
# What is kept before the first and after the last loud frame, and how much softer than the loudest those may be.
MARGIN_FRAMES = 10
SOFTEST_DB = -25.0
ABOVE_NOISE = 2.0


def subjects(sentences: Iterable[str]) -> frozenset[str]:
    """The words of a service's sentences that say what they are about."""
    return frozenset(word for sentence in sentences for word in sentence.split()) - FILLERS - set(DIGITS)


def believed(grammar_words: Words, own_words: str | None, about: frozenset[str]) -> Words:
    """Each word with its confidence: ``[unk]`` when neither has any. ``about`` are the service's :func:`subjects`.

    ``own_words`` is None when there was no time for them: then the grammar's are worth a question and no more.
    """
    if own_words is None:
        return [(word, min(confidence, OWN_WORDS)) for word, confidence in grammar_words]
    by_grammar = [word for word, _ in grammar_words if word != UNKNOWN]
    own = spoken_words(own_words)
    if not own:
        return grammar_words
    if by_grammar and _agree(by_grammar, own, about):
        return [(word, max(confidence, AGREED)) for word, confidence in grammar_words]
    if by_grammar and not _is_about(own, about):
        # Worth a question, since the caller would be asked to say it again otherwise.
        return [(word, min(confidence, OWN_WORDS)) for word, confidence in grammar_words]
    return [(word, OWN_WORDS) for word in own]


def _agree(by_grammar: list[str], own: list[str], about: frozenset[str]) -> bool:
    """Digits are heard better by the grammar, and make no sense as words: it is enough that those are about nothing here."""
    if all(word in DIGITS for word in by_grammar):
        return not _is_about(own, about)
    return likeness(own, by_grammar) >= SAME


def _is_about(words: Iterable[str], about: frozenset[str]) -> bool:
    return any(word_likeness(word, subject) for word in words for subject in about)


def spoken_part(pcm: bytes) -> bytes:
    """Without the quiet before and after: int16 little-endian mono at 8 kHz, and so is the result."""
    samples: Samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2")
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    if not len(frames):
        return b""
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    limit = max(np.percentile(loudness, 95) * 10 ** (SOFTEST_DB / 20), loudness.min() * ABOVE_NOISE)
    loud = np.flatnonzero(loudness > limit)
    if not loud.size:
        return b""
    first, last = max(0, loud[0] - MARGIN_FRAMES), loud[-1] + 1 + MARGIN_FRAMES
    return samples[first * FRAME : last * FRAME].astype("<i2").tobytes()
