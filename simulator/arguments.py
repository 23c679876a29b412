"""How FreeSWITCH takes command arguments and inline dialplans apart (switch_separate_string). Pure."""

from __future__ import annotations

import re

from simulator.dialplan import Action


def separate(text: str, most: int = 0) -> list[str]:
    """Words between spaces; single quotes keep spaces together and go. The ``most``-th word takes all the rest."""
    words: list[str] = []
    rest = text.strip(" ")
    while rest:
        if most and len(words) == most - 1:
            words.append(rest)
            break
        quoted = False
        word = ""
        at = 0
        for at, character in enumerate(rest):  # noqa: B007  where the word ends is needed below
            if character == "'":
                quoted = not quoted
            elif character == " " and not quoted:
                break
            else:
                word += character
        else:
            at += 1
        words.append(word)
        rest = rest[at:].lstrip(" ")
    return words


def inline_actions(text: str) -> list[Action]:
    """The ``inline`` dialplan: ``application:data,application:data``, or ``m:^:`` and ``^`` in place of the comma."""
    found = re.match(r"m:(.):", text, re.DOTALL)
    parts = text[4:].split(found[1]) if found else text.split(",")
    pairs = (part.partition(":")[::2] for part in parts if part)
    return [Action(name.strip(" "), data) for name, data in pairs]
