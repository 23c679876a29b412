"""An XML dialplan file as FreeSWITCH reads it: globals, extensions, conditions, and the actions a call gets. Pure.

Owns parsing and matching. Conditions are evaluated before any action runs, as on the real switch.
"""

from __future__ import annotations

import glob
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from simulator.errors import DialplanError
from simulator.expand import expand, expand_captures
from simulator.moments import FIELDS, holds, local

_MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # a last resort of a large flow is some 100 KB
_SET: Final = re.compile(r'<X-PRE-PROCESS\s+cmd="set"\s+data="([^"]*)"\s*/>')
_INCLUDE: Final = re.compile(r'<X-PRE-PROCESS\s+cmd="include"\s+data="([^"]*)"\s*/>')


@dataclass(frozen=True, slots=True)
class Action:
    application: str
    data: str
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """``field`` and ``expression``, or ``times`` of the wall clock, or neither (always true)."""

    field: str
    expression: re.Pattern[str] | None
    times: tuple[tuple[str, str], ...]
    breaks: str
    actions: tuple[Action, ...]
    anti_actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    name: str
    goes_on: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Dialplan:
    """``texts``: each context's XML, with what was included."""

    contexts: Mapping[str, tuple[Extension, ...]]
    texts: Mapping[str, str]

    def route(
        self, context: str, lookup: Callable[[str], str], now: datetime, on_inline: Callable[[Action], None]
    ) -> list[Action] | None:
        """The actions for a call, captures filled in; None when no extension of the context takes it.

        ``lookup`` answers caller fields and channel variables; ``now`` is aware and in the switch's own zone, which counts for
        calls without a ``timezone``.
        """
        found: list[Action] = []
        matched = False
        for extension in self.contexts.get(context, ()):
            if _match(extension, lookup, now, found, on_inline):
                matched = True
                if not extension.goes_on:
                    break
        return found if matched and found else None


def _match(
    extension: Extension,
    lookup: Callable[[str], str],
    now: datetime,
    found: list[Action],
    on_inline: Callable[[Action], None],
) -> bool:
    matched = False
    for condition in extension.conditions:
        groups = _evaluate(condition, lookup, now)
        chosen = condition.anti_actions if groups is None else condition.actions
        for action in chosen:
            filled = action
            if "$" in action.data:
                filled = Action(action.application, expand_captures(action.data, groups or ("",)), action.inline)
            if filled.inline:
                on_inline(filled)
            else:
                found.append(filled)
        matched = matched or bool(chosen)
        passed = groups is not None
        if condition.breaks == "always" or (condition.breaks == "on-true" and passed):
            break
        if condition.breaks == "on-false" and not passed:
            break
    return matched


def _evaluate(condition: Condition, lookup: Callable[[str], str], now: datetime) -> tuple[str, ...] | None:
    """The expression's groups when it holds, else None.

    As parse_exten of mod_dialplan_xml.c: where there are times beside a field, one of both is enough.
    """
    by_time: tuple[str, ...] | None = ("",)
    if condition.times:
        # `timezone` is read anew for each condition: an inline action of the one before may have set it.
        moment = local(now, lookup("timezone"), lookup("tod_tz_offset"))
        by_time = ("",) if holds(condition.times, moment) else None
    if not condition.field or condition.expression is None:
        return by_time
    value = expand(condition.field, lookup) if "$" in condition.field else lookup(condition.field)
    match = condition.expression.search(value)
    if match:
        return (match[0], *(group or "" for group in match.groups()))
    return by_time if condition.times else None


def included_files(path: Path, variables: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that a dialplan includes, as far as they exist now."""
    text = path.read_text(encoding="utf-8")
    known = {name.strip(): value for name, _, value in (data.partition("=") for data in _SET.findall(text))} | dict(variables)
    filled = re.sub(r"\$\$\{([^}]+)\}", lambda found: known.get(found[1], ""), text)
    return tuple(each for found in _INCLUDE.findall(filled) for each in _named(found, path.parent))


def _named(pattern: str, folder: Path) -> list[Path]:
    """As FreeSWITCH's own: a glob, from the including file's folder on; what names no file includes none."""
    # Not Path.glob: the pattern may be a whole path of its own.
    return [Path(found) for found in sorted(glob.glob(str(folder / pattern)))]  # noqa: PTH207


def _kept(path: Path) -> str:
    """An included file without the lines that FreeSWITCH drops from every file."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise DialplanError(f"{path}: larger than {_MAX_FILE_BYTES} bytes")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DialplanError(f"{path}: {error.strerror}") from error
    return "\n".join(line for line in lines if not any(dropped in line for dropped in ("<include>", "</include>", "<?")))


def load_dialplan(path: Path, variables: Mapping[str, str]) -> Dialplan:
    """``variables`` are the switch's globals, for ``$${name}``; the file's own ``X-PRE-PROCESS set`` come after them.

    Raises :class:`DialplanError` naming the file and the fault.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise DialplanError(f"{path}: larger than {_MAX_FILE_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DialplanError(f"{path}: {error.strerror}") from error
    try:
        return parse_dialplan(text, variables, path.parent)
    except DialplanError as error:
        raise DialplanError(f"{path}: {error}") from error


def parse_dialplan(text: str, variables: Mapping[str, str], folder: Path | None = None) -> Dialplan:
    """``folder`` is where included files are looked for; None: nothing is included."""
    known = dict(variables)
    for data in _SET.findall(text):
        name, _, value = data.partition("=")
        known.setdefault(name.strip(), value)

    def filled_in(part: str) -> str:
        return re.sub(r"\$\$\{([^}]+)\}", lambda found: known.get(found[1], ""), part)

    filled = filled_in(text)
    if folder is not None:
        filled = _INCLUDE.sub(lambda found: filled_in("\n".join(_kept(path) for path in _named(found[1], folder))), filled)
    if "<!DOCTYPE" in filled or "<!ENTITY" in filled:
        raise DialplanError("a document type is not allowed")
    try:
        root = ElementTree.fromstring(filled)  # a local file of ours, entities refused above
    except ElementTree.ParseError as error:
        raise DialplanError(str(error)) from error
    contexts = {
        context.get("name", ""): tuple(_extension(element) for element in context.iter("extension"))
        for context in root.iter("context")
    }
    if not contexts:
        raise DialplanError("no <context> in it")
    texts = {context.get("name", ""): ElementTree.tostring(context, "unicode") for context in root.iter("context")}
    return Dialplan(contexts, texts)


def _extension(element: ElementTree.Element) -> Extension:
    conditions = tuple(_condition(child) for child in element.findall("condition"))
    return Extension(element.get("name", ""), element.get("continue") == "true", conditions)


def _condition(element: ElementTree.Element) -> Condition:
    expression = element.get("expression")
    try:
        pattern = None if expression is None else re.compile(expression)
    except re.error as error:
        raise DialplanError(f"expression {expression!r}: {error}") from error
    times = tuple((name, value) for name in FIELDS if (value := element.get(name)) is not None)
    return Condition(
        element.get("field", ""),
        pattern,
        times,
        element.get("break", "on-false"),
        tuple(_action(child) for child in element.findall("action")),
        tuple(_action(child) for child in element.findall("anti-action")),
    )


def _action(element: ElementTree.Element) -> Action:
    return Action(
        element.get("application", ""), element.get("data", "") or (element.text or "").strip(),
        element.get("inline") == "true",
    )  # fmt: skip
