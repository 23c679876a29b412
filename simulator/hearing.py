"""What a caller understands of what the switch plays: the words of prompt files, and what those words ask for.

Owns the prompt folder's manifest and the reading of a menu. Pure but for looking the manifest up on disk.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from simulator.media import Part

log = structlog.get_logger(__name__)
MANIFEST_NAME: Final = "manifest.json"
_KEYS: Final = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "star": "*", "asterisk": "*", "hash": "#", "pound": "#",
}  # fmt: skip
_KEY: Final = r"press (?:the )?(?:number )?(\d|[*#]|" + "|".join(_KEYS) + r")(?!\w)"
_KEY_LAST: Final = re.compile(r"\b(?:for|to) ([^.;!?]*?),? (?:please |just )?" + _KEY)
_KEY_FIRST: Final = re.compile(r"\b" + _KEY + r"(?: key)? (?:for|to|if you) ([^.,;!?]+)")
_WANTS_DIGITS: Final = re.compile(
    r"\b(?:enter|key in|type)\b[^.]*\b(?:number|digits|code|date)\b|followed by (?:the )?(?:hash|pound)"
)
_AGAIN: Final = re.compile(
    r"\bsorry\b|didn.?t (?:catch|hear|understand|get)|not (?:catch|hear|understand)|say (?:that|it) again"
    r"|repeat|rephrase|try again"
)
_MORE: Final = re.compile(r"\b(?:anything|something) else\b|\belse (?:i|we) can\b|\belse can (?:i|we)\b")
_ACCOUNT: Final = re.compile(r"\b(?:account|order|customer|reference) number\b")
_CONFIRM: Final = re.compile(
    r"\bis (?:that|this) (?:right|correct|ok|okay)\b|\bcorrect\?|\bshall i\b|\bwould you like me to\b"
    r"|\bdo you want me to\b|\bsay yes\b|\bplease confirm\b"
)
_OFFER: Final = re.compile(
    r"\b(?:which|what) (?:time|day|slot|one|date)\b|\bwould you (?:prefer|like) (?!me\b)|\bi (?:have|can offer)\b"
    r"|\b(?:is|are) available\b|\bsuits? you\b|\bwhen would\b"
)
_OPEN: Final = re.compile(
    r"\bhow (?:can|may) (?:i|we) help|\bwhat can (?:i|we) do\b|\btell (?:me|us) (?:how|what|why|in)\b"
    r"|\bwhat (?:are you calling|would you like)\b|\bhow can (?:i|we)\b"
)
_TRANSFER: Final = re.compile(r"\b(?:transfer|put|connect)(?:ring)? you (?:through )?to our team\b")
_GOODBYE: Final = re.compile(r"\bgood ?bye\b|\bthank you for calling\b")
_WAIT: Final = re.compile(r"\b(?:one|a) moment\b|\bplease (?:hold|wait)\b|\bconnecting you\b|\bputting you through\b")


@dataclass(frozen=True, slots=True)
class Option:
    """One line of a menu: what it is for, and its key."""

    what: str
    key: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Words since the caller last acted, and what they ask for. Several may hold at once."""

    text: str
    options: tuple[Option, ...]
    wants_digits: bool
    again: bool
    anything_else: bool
    account: bool
    confirm: bool
    offer: bool
    open_question: bool
    to_team: bool
    goodbye: bool
    please_wait: bool


def understand(text: str) -> Heard:
    words = " ".join(text.lower().replace("’", "'").split())

    def says(pattern: re.Pattern[str]) -> bool:
        return pattern.search(words) is not None

    return Heard(
        text=words, options=menu_options(words), wants_digits=says(_WANTS_DIGITS), again=says(_AGAIN),
        anything_else=says(_MORE), account=says(_ACCOUNT), confirm=says(_CONFIRM), offer=says(_OFFER),
        open_question=says(_OPEN), to_team=says(_TRANSFER), goodbye=says(_GOODBYE), please_wait=says(_WAIT),
    )  # fmt: skip


def menu_options(words: str) -> tuple[Option, ...]:
    """``for your balance, press 1`` and ``press 1 for your balance``; lower-case text in, in the order heard.

    Within a sentence the order of the first one counts for all: "press 1 for sales, press 2 for support".
    """
    found: list[Option] = []
    for sentence in re.split(r"[.;!?]", words):
        key_last, key_first = _KEY_LAST.search(sentence), _KEY_FIRST.search(sentence)
        if key_last and not (key_first and key_first.start() < key_last.start()):
            found += [Option(match[1].strip(), _key(match[2])) for match in _KEY_LAST.finditer(sentence)]
        elif key_first:
            found += [Option(match[2].strip(), _key(match[1])) for match in _KEY_FIRST.finditer(sentence)]
    return tuple(found)


def _key(word: str) -> str:
    return _KEYS.get(word, word)


class PromptTexts:
    """The words of each prompt file, from the folder's manifest; read again when it changes."""

    def __init__(self, prompt_dir: Path | None) -> None:
        self._path = None if prompt_dir is None else prompt_dir / MANIFEST_NAME
        self._read_at_ns = -1
        self._texts: dict[str, str] = {}

    def text_of(self, part: Part) -> str:
        """"" for tones, replies and files the manifest does not name."""
        if not part.file:
            return ""
        if part.file not in self._texts:
            self._refresh()
        return self._texts.get(part.file, "")

    def _refresh(self) -> None:
        if self._path is None:
            return
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns == self._read_at_ns:
                return
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("prompt_manifest_unreadable", path=str(self._path), error=str(error))
            return
        self._read_at_ns = changed_ns
        self._texts = {name: str(entry.get("text", "")) for name, entry in entries.items() if isinstance(entry, dict)}
