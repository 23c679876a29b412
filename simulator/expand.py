"""`${variable}` and `$1` as FreeSWITCH expands them in application arguments and conditions. Pure.

Owns the syntax. What a name or an API call yields is asked of the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_DEPTH: Final = 8  # a variable that names itself would go on for ever; FreeSWITCH's stack is no deeper in practice
_CALL: Final = re.compile(r"^([A-Za-z0-9_]+)\s?\((.*)\)$|^([a-z][a-z0-9_]*) (.+)$", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$\\*\{")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")  # neither a call nor a slice
_PLACE: Final = re.compile(r"\\\$|\$\{")
_BRACE: Final = re.compile(r"[{}]")
_CAPTURE: Final = re.compile(r"\$(\d)")
_SLICE: Final = re.compile(r"^(.+?):(-?\d+)(?::(\d+))?$", re.DOTALL)

Lookup = Callable[[str], str]
ApiCall = Callable[[str, str], str]


def would_expand(text: str) -> bool:
    """As switch_string_var_check_const: what FreeSWITCH refuses as a value where it checks values at all."""
    return _VARIABLE.search(text) is not None


def defuse(text: str) -> str:
    """As switch_var_clean_string does with a caller's profile: ``%{`` for ``${``."""
    return _VARIABLE.sub(lambda found: "%" + found[0][1:], text)


def expand(text: str, lookup: Lookup, call: ApiCall | None = None, depth: int = 0) -> str:
    """``text`` with every ``${…}`` replaced, values included: that is why a stored ``${system(…)}`` runs once used.

    ``call`` runs ``${api(arguments)}``; None leaves such a place empty, as ``api-expansion=false`` does.
    """
    if "$" not in text or depth > _DEPTH:
        return text
    out: list[str] = []
    at = 0
    while found := _PLACE.search(text, at):
        out.append(text[at : found.start()])
        if found[0] == "\\$":
            out.append("$")
            at = found.end()
        elif (end := _closing(text, found.end())) >= 0:
            out.append(_value(text[found.end() : end], lookup, call, depth))
            at = end + 1
        else:
            out.append("$")
            at = found.start() + 1
    out.append(text[at:])
    return "".join(out)


def _closing(text: str, at: int) -> int:
    """Where the braces that were opened before ``at`` are closed; -1 for nowhere."""
    open_braces = 1
    for found in _BRACE.finditer(text, at):
        open_braces += 1 if found[0] == "{" else -1
        if open_braces == 0:
            return found.start()
    return -1


def _value(inner: str, lookup: Lookup, call: ApiCall | None, depth: int) -> str:
    name = expand(inner, lookup, call, depth + 1)
    if _NAME.fullmatch(name):
        return expand(lookup(name), lookup, call, depth + 1)
    found = _CALL.match(name)
    if found:
        if call is None:
            return ""
        return call(found[1] or found[3], found[2] if found[1] else found[4])
    sliced = _SLICE.match(name)
    if sliced is None:
        return expand(lookup(name), lookup, call, depth + 1)
    value = expand(lookup(sliced[1]), lookup, call, depth + 1)[int(sliced[2]) :]
    return value[: int(sliced[3])] if sliced[3] else value


def expand_captures(text: str, groups: tuple[str, ...]) -> str:
    """``$1`` … ``$9`` (``$0`` the whole match) from the condition's expression."""
    return _CAPTURE.sub(lambda found: groups[int(found[1])] if int(found[1]) < len(groups) else "", text)
