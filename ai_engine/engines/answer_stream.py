"""A model's JSON answer read while it is still being written, so that its first sentence is spoken before the last is there.

Pure. Owns where the reply begins in the text and where its sentences end; what the fields before it mean is the
prompt's. A sentence ends with ``.``, ``!`` or ``?`` before a space or the end; one without a letter or digit is none.
"""

from __future__ import annotations

import re

# A reply is one to three short sentences; longer ones take seconds to render, and callers interrupt them.
MAX_REPLY_CHARS = 300
_END = re.compile(r"[.!?](?=\s)")
_REPLY = '"reply"'
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def sentences(reply: str) -> tuple[str, ...]:
    """As many whole sentences as a caller should have to hear; the first is cut when it alone is longer."""
    cutter = SentenceCutter()
    return (*cutter.feed(reply), *cutter.end())


class SentenceCutter:
    """The same sentences whatever the pieces in which the reply comes."""

    def __init__(self) -> None:
        self._rest = ""
        self._chars = 0
        self._full = False

    def feed(self, piece: str) -> list[str]:
        self._rest += piece
        found: list[str] = []
        start = 0
        for end in _END.finditer(self._rest):
            if _spoken(self._rest[start : end.end()]):
                found += self._kept(self._rest[start : end.end()])
                start = end.end()
        self._rest = self._rest[start:]
        return found

    def end(self) -> list[str]:
        rest, self._rest = self._rest, ""
        return self._kept(rest) if _spoken(rest) else []

    def _kept(self, sentence: str) -> list[str]:
        sentence = " ".join(sentence.split())
        if self._chars and self._chars + 1 + len(sentence) > MAX_REPLY_CHARS:
            self._full = True
        if self._full:
            return []
        sentence = sentence[:MAX_REPLY_CHARS]
        self._chars += len(sentence) + bool(self._chars)
        return [sentence]


class ReplyReader:
    """Fed with the answer's text in pieces; gives the reply's sentences as they are complete.

    ``head`` is everything before the reply as a JSON object of its own, from the reply's first character on; a reply
    that does not come last is not found while it streams, or not with all of the rest.
    """

    def __init__(self) -> None:
        self.head = ""
        self._text: list[str] = []
        self._depth = 0
        self._string_at: int | None = None
        self._escape: str | None = None
        self._key, self._key_at = "", 0
        self._last = ("", 0)
        self._in_reply = self._over = False
        self._high = ""
        self._cutter = SentenceCutter()

    @property
    def text(self) -> str:
        return "".join(self._text)

    def feed(self, piece: str) -> list[str]:
        found: list[str] = []
        for char in piece:
            if self._in_reply and not self._over:
                found += self._reply_char(char)
            elif not self._over:
                self._json_char(char)
            self._text.append(char)
        return found

    # --- up to the reply ----------------------------------------------------------------------------------------------
    def _json_char(self, char: str) -> None:
        if self._string_at is not None:
            self._string_char(char)
        elif char == '"':
            if self._depth == 1 and self._key == _REPLY:
                self.head = "".join(self._text[: self._key_at]).rstrip().rstrip(",") + "}"
                self._in_reply = True
            else:
                self._string_at = len(self._text)
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
        elif self._depth == 1 and char == ":":
            self._key, self._key_at = self._last
        elif self._depth == 1 and char == ",":
            self._key = ""

    def _string_char(self, char: str) -> None:
        if self._escape is not None:
            self._escape = None
        elif char == "\\":
            self._escape = ""
        elif char == '"' and self._string_at is not None:
            if self._depth == 1:
                self._last = ("".join(self._text[self._string_at :]) + '"', self._string_at)
            self._string_at = None

    # --- in the reply -------------------------------------------------------------------------------------------------
    def _reply_char(self, char: str) -> list[str]:
        if self._escape is not None:
            return self._escaped(char)
        if char == "\\":
            self._escape = ""
            return []
        if char == '"':
            self._over = True
            return [*self._cutter.feed(self._lone_high()), *self._cutter.end()]
        return self._cutter.feed(self._lone_high() + char)

    def _escaped(self, char: str) -> list[str]:
        self._escape = (self._escape or "") + char
        if self._escape[0] == "u":
            if len(self._escape) < 5:
                return []
            plain = _code_point(self._escape[1:])
        else:
            plain = _ESCAPES.get(self._escape, _REPLACEMENT)
        self._escape = None
        if self._high and "\udc00" <= plain <= "\udfff":
            pair, self._high = self._high + plain, ""
            return self._cutter.feed(pair.encode("utf-16", "surrogatepass").decode("utf-16"))
        before = self._lone_high()
        if "\ud800" <= plain <= "\udbff":
            self._high = plain
            return self._cutter.feed(before)
        return self._cutter.feed(before + (_REPLACEMENT if "\udc00" <= plain <= "\udfff" else plain))

    def _lone_high(self) -> str:
        """Half a character whose other half never came."""
        lone, self._high = self._high, ""
        return _REPLACEMENT if lone else ""


def _code_point(digits: str) -> str:
    try:
        return chr(int(digits, 16))
    except ValueError:
        return _REPLACEMENT


def _spoken(sentence: str) -> bool:
    return any(char.isalnum() for char in sentence)
