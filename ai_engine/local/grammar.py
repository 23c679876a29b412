"""What the local recogniser can hear: a JSGF grammar and the dictionary of its words, from the published flows.

Owns both texts. Knows nothing of audio or decoders.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import msgspec
import pocketsphinx
import structlog

from callflows.definition.flow import FlowVersion, SlotKind, Snapshot

log = structlog.get_logger(__name__)

DIGITS = ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Answers that every call may get, whatever its flow.
ANSWERS = (
    "yes", "yes please", "yes that is right", "no", "no that is wrong", "no thank you", "no thank you goodbye", "goodbye",
    "that is all",
)  # fmt: skip
# How many of the flows' examples the grammar holds, evenly of each intent, the first ones first. The final hearing of four seconds
# with a quiet line takes 0.26 s with 40 and 1.1 s with 108, which is as long as a worker waits; the rest are heard by the second
# hearing, which leans to all of them.
MOST_SENTENCES = 40
# What is listened for without a published flow.
ANY_DIGITS = (1, 12)
# How words also sound where nothing above 4 kHz is left: an f has lost what tells it from a th.
TELEPHONE_SOUNDS = {"four": "TH AO R"}
_WORD = re.compile(r"[a-z0-9']+")
_NUMERALS = dict(zip("0123456789", ("zero", *DIGITS[2:]), strict=True))

Dictionary = Mapping[str, tuple[str, ...]]


class Grammar(msgspec.Struct, frozen=True):
    """``dictionary`` holds only the grammar's words: decoders start ten times faster than with the whole language.

    ``phrases`` are the grammar's sentences that are not digits, ``sentences`` these and the flows' other examples.
    """

    jsgf: str
    dictionary: str
    phrases: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    def completed(self, words: str) -> str:
        """``words``, which a decoder may have cut off at the end; empty when too little is left of any sentence.

        A beginning that only one sentence has, at least half of it, is that sentence. One word that is no sentence
        is a guess: short answers sound like the beginning of a longer one.
        """
        if words in self.phrases or all(word in DIGITS for word in words.split()):
            return words
        longer = [phrase for phrase in self.phrases if phrase.startswith(words + " ")]
        said = len(words.split())
        if len(longer) == 1 and 2 * said >= len(longer[0].split()):
            return longer[0]
        return words if said > 1 else ""


@cache
def read_dictionary(path: Path | None = None) -> Dictionary:
    """Word to pronunciations, the telephone's with them. Without a path it is the one that comes with pocketsphinx."""
    found: dict[str, list[str]] = {}
    source = path or Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    for line in source.read_text(encoding="utf-8").splitlines():
        word, _, sounds = line.partition(" ")
        if sounds:
            found.setdefault(word.partition("(")[0], []).append(sounds.strip())
    for word, sounds in TELEPHONE_SOUNDS.items():
        found.setdefault(word, []).append(sounds)
    return {word: tuple(sounds) for word, sounds in found.items()}


def spoken_words(text: str) -> list[str]:
    """Lower case, no punctuation, numerals digit by digit."""
    words: list[str] = []
    for word in _WORD.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")):
        words += [_NUMERALS[digit] for digit in word] if word.isdigit() else [word]
    return words


def build_grammar(snapshot: Snapshot | None, dictionary: Dictionary) -> Grammar:
    """Utterances with a word that the dictionary lacks are left out with a warning. Without flows: digits only."""
    flows = _newest(snapshot)
    examples = _examples(flows)
    phrases = _spoken((*ANSWERS, *examples[:MOST_SENTENCES], *_choices(flows)))
    kept = [phrase for phrase in phrases if _is_known(phrase, dictionary)]
    lengths = sorted({length for flow in flows for length in _digit_lengths(flow)})
    if not flows:
        lengths = list(range(ANY_DIGITS[0], ANY_DIGITS[1] + 1))
    sequences = [" ".join(["<digit>"] * length) for length in lengths]
    jsgf = "\n".join(
        (
            "#JSGF V1.0;",
            "grammar calls;",
            f"public <said> = {' | '.join([*kept, *sequences])};",
            f"<digit> = {' | '.join(DIGITS)};",
        )
    )
    sentences = dict.fromkeys((*kept, *_spoken(examples)))
    return Grammar(jsgf + "\n", _dictionary_text([*kept, *DIGITS], dictionary), tuple(kept), tuple(sentences))


def _newest(snapshot: Snapshot | None) -> list[FlowVersion]:
    newest: dict[str, FlowVersion] = {}
    for flow in () if snapshot is None else snapshot.flows:
        if flow.slug not in newest or flow.number > newest[flow.slug].number:
            newest[flow.slug] = flow
    return list(newest.values())


def _examples(flows: Iterable[FlowVersion]) -> list[str]:
    """The first of every intent, then the second of every intent, and so on."""
    rounds = itertools.zip_longest(*(intent.utterances for flow in flows for intent in flow.intents))
    return [example for one in rounds for example in one if example]


def _choices(flows: Iterable[FlowVersion]) -> Iterable[str]:
    return (choice.words for flow in flows for slot in flow.slots for choice in slot.choices)


def _spoken(texts: Iterable[str]) -> list[str]:
    """Each once, as it is spoken."""
    return [phrase for phrase in dict.fromkeys(" ".join(spoken_words(text)) for text in texts) if phrase]


def _digit_lengths(flow: FlowVersion) -> Iterable[int]:
    for slot in flow.slots:
        if slot.kind is SlotKind.DIGITS:
            yield from range(max(1, slot.min_length), slot.max_length + 1)


def _is_known(phrase: str, dictionary: Dictionary) -> bool:
    missing = [word for word in phrase.split() if word not in dictionary]
    if missing:
        log.warning("utterance_not_recognisable", utterance=phrase, unknown_words=missing)
    return not missing


def _dictionary_text(phrases: Iterable[str], dictionary: Dictionary) -> str:
    lines: list[str] = []
    for word in dict.fromkeys(word for phrase in phrases for word in phrase.split()):
        for number, sounds in enumerate(dictionary[word], start=1):
            lines.append(f"{word} {sounds}" if number == 1 else f"{word}({number}) {sounds}")
    return "\n".join(lines) + "\n"
