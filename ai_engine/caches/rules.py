"""What may be kept of a turn for other callers, and under which name. Pure.

Owns the rule that nothing of one caller's reaches another: words with figures in them, answers that fill a slot, and
answers that lean on what was said before are never kept.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable

from ai_engine.engines.config import EngineConfig
from ai_engine.engines.roles import Understanding
from ai_engine.messages import INTENT, TurnRequest

# Surer than what is asked back about: a wrong answer that was kept would be wrong for everybody for an hour.
KEPT_FROM = 0.85
# One word ("yes", "billing") leans on the question before it more often than it stands for itself.
LEAST_WORDS = 2
# Longer sentences hardly ever come twice, and are the ones in which people tell of themselves.
MOST_WORDS = 16
_HESITATIONS = frozenset({"um", "uh", "er", "erm", "hm", "hmm", "ah", "mm"})
# The words of numbers that recognisers write out; what a caller counts or spells is their own.
_FIGURES = frozenset(
    {
        "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty",
        "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "double", "triple",
    }
)  # fmt: skip
_BETWEEN_WORDS = re.compile(r"[^\w']+", re.UNICODE)


def normalised(transcript: str) -> str:
    """The words alone: case, punctuation, accents' encoding and hesitation do not tell two utterances apart."""
    text = unicodedata.normalize("NFKC", transcript).casefold()
    words = (word.strip("'") for word in _BETWEEN_WORDS.split(text))
    return " ".join(word for word in words if word and word not in _HESITATIONS)


def question(request: TurnRequest, transcript: str, engines: Iterable[EngineConfig]) -> str:
    """The name under which an answer to these words is kept, empty when none may be: neither read nor written."""
    if request.expect != INTENT:
        return ""
    words = normalised(transcript).split()
    if not LEAST_WORDS <= len(words) <= MOST_WORDS or _personal(words):
        return ""
    parts = (request.flow_slug, str(request.flow_version), request.language, _maker(tuple(engines)), " ".join(words))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def may_keep(request: TurnRequest, understood: Understanding) -> bool:
    """Only a sure and whole answer to a caller's first words: a later one may mean what it means because of what came
    before, and one without its reply is what a model that broke off has left for this turn alone.
    """
    first_words = all(exchange.who != "caller" for exchange in request.history)
    whole = bool(understood.intent and understood.reply)
    return whole and understood.confidence >= KEPT_FROM and not understood.slots and first_words


def rendering(text: str, voice: str, engines: Iterable[EngineConfig]) -> str:
    """The name under which a reply's audio is kept: whoever knows the same words may hear it."""
    return hashlib.sha256("\x1f".join((text, voice, _maker(tuple(engines)))).encode()).hexdigest()


def _personal(words: Iterable[str]) -> bool:
    return any(word in _FIGURES or any(sign.isdigit() for sign in word) for word in words)


@functools.lru_cache(maxsize=16)
def _maker(engines: tuple[EngineConfig, ...]) -> str:
    """Who answers: after a change of engine or model, what the old one said is not asked for any more."""
    return "|".join(f"{one.kind}:{one.url}:{one.model}:{one.voice}" for one in engines)
