"""What stands against letting a switch obey a text as its dialplan of last resort.

Owns the subset of FreeSWITCH's XML that is accepted: what the deployed switch has without further modules, what its own
parser and PCRE read, and nothing that could be acted on. Pure: it reads the text alone, so that it would also find what an
editor, a broken disk or a fault of the renderer put there.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from ivr_fallback.last_resort import ENTRY, KEY_VARIABLE
from ivr_fallback.last_resort_hours import OPEN, OPEN_CONDITION, OPEN_VARIABLE, SHUT, ZONE, ZONE_VARIABLE

APPLICATIONS = frozenset({"bridge", "hangup", "play_and_get_digits", "playback", "set", "transfer", "unset"})
# mod_dialplan_xml evaluates nothing else here: the dialled extension, and our own variables.
FIELDS = frozenset({"destination_number", "${ll_flow} ${ll_step}", "${ll_dialled}|${sip_req_user}", "${originate_disposition}",
                    OPEN_CONDITION[0]})  # fmt: skip
# What a condition may ask of the wall clock, narrower than FreeSWITCH would take it: a value that it cannot read is simply none
# that holds, or half of one that does.
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
MOMENTS = {
    "year": re.compile(r"[0-9]{4}"),
    "mon": re.compile(r"[1-9]|1[0-2]"),
    "mday": re.compile(r"[1-9]|[12][0-9]|3[01]"),
    "wday": re.compile(r"[1-7](?:,[1-7])*"),
    "time-of-day": re.compile(rf"{_TIME}-{_TIME}(?:,{_TIME}-{_TIME})*"),
}
# The only actions that run while a call's extension is still sought.
INLINE = re.compile(rf"{OPEN_VARIABLE}=(?:{OPEN}|{SHUT})|{ZONE_VARIABLE}={ZONE.pattern}")
ATTRIBUTES = {
    "include": frozenset[str](),
    "extension": frozenset({"name", "continue"}),
    "condition": frozenset({"field", "expression", "break", *MOMENTS}),
    "action": frozenset({"application", "data", "inline"}),
    "anti-action": frozenset({"application", "data"}),
}
# Replaced when the switch loads the file, from its own configuration; all others would be replaced in a call.
GLOBALS = ("$${lifeline_agents}", "$${lifeline_last_resort_agent}")
KEY = f"${{{KEY_VARIABLE}}}"
# What an action's data may hold once those are taken away: no ``$ { } \\ ' "``, which expand or quote.
DATA = re.compile(r"[A-Za-z0-9_.:@+,#*/|!%()\[\]= -]{0,20000}")
# Python's re reads more than PCRE does, and PCRE more than Python: this is what both read alike.
EXPRESSION = re.compile(r"[A-Za-z0-9_:@|^$.*?+()\[\]\\# -]{1,500}")
_FILE_NAME = re.compile(r"/[A-Za-z0-9_.:@+/-]*\.wav")
# A large flow has some 60 KB. The simulator, and a person, read no more than this.
MOST_BYTES = 2_000_000


def problems(text: str) -> list[str]:
    """In the order of the text; empty when a switch may have it."""
    if len(text.encode()) > MOST_BYTES:
        return [f"it is larger than {MOST_BYTES} bytes"]
    if "<!" in text or "<?" in text or "X-PRE-PROCESS" in text:
        return ["it holds a declaration, a comment or a preprocessor's line"]
    try:
        root = ElementTree.fromstring(text)  # entities were refused above
    except ElementTree.ParseError as error:
        return [f"it is no XML: {error}"]
    # FreeSWITCH leaves out whole lines that hold this, and keeps the rest of the file.
    if [line.strip() for line in text.splitlines() if "include>" in line] not in (["<include>", "</include>"], []):
        return ["<include> does not stand on a line of its own"]
    if root.tag != "include":
        return [f"it begins with <{root.tag}> and not with <include>"]
    found = [problem for element in root.iter() for problem in _element_problems(element)]
    return found or list(_lost_transfers(root))


def files_named(text: str) -> frozenset[str]:
    """Every sound file that the text plays, by its whole path."""
    parts = (part for word in re.split(r'[\s"]+', text) for part in word.removeprefix("file_string://").split("!"))
    return frozenset(part for part in parts if _FILE_NAME.fullmatch(part))


def versions_named(text: str) -> dict[str, int]:
    """The version of each flow that it was made of."""
    return {slug: int(number) for slug, number in re.findall(rf'name="{ENTRY}-([A-Za-z0-9_-]+):([0-9]+) new"', text)}


def zones_named(text: str) -> frozenset[str]:
    """Every time zone whose wall clock the text asks."""
    return frozenset(re.findall(rf'"{ZONE_VARIABLE}=({ZONE.pattern})"', text))


def _element_problems(element: ElementTree.Element) -> Iterator[str]:
    allowed = ATTRIBUTES.get(element.tag)
    if allowed is None:
        yield f"<{element.tag}> is not known"
        return
    for name in element.attrib.keys() - allowed:
        yield f"<{element.tag}> has an attribute {name!r}, which is not known"
    if (element.text or "").strip() or (element.tail or "").strip():
        yield f"<{element.tag}> holds text"
    if element.tag == "extension" and "continue" in element.attrib:
        yield from _passed_problems(element)
    elif element.tag == "condition":
        yield from _condition_problems(element)
    elif element.tag in ("action", "anti-action"):
        yield from _action_problems(element)


def _passed_problems(extension: ElementTree.Element) -> Iterator[str]:
    """What it did besides would be added to whatever the call's own extension does."""
    if extension.get("continue") != "true":
        yield f"an extension goes on {extension.get('continue')!r}, and not true"
    for each in extension.iter():
        if each.tag == "anti-action" or (each.tag == "action" and each.get("inline") != "true"):
            yield "an extension that is only passed has an action that is not inline"


def _condition_problems(element: ElementTree.Element) -> Iterator[str]:
    field, expression = element.get("field", ""), element.get("expression", "")
    if element.get("break", "never") != "never":
        yield f"a condition breaks {element.get('break')!r}, which is not known"
    moments = [(name, value) for name, value in element.attrib.items() if name in MOMENTS]
    if moments:
        if "field" in element.attrib or "expression" in element.attrib:
            # To FreeSWITCH one of both is enough then.
            yield "a condition asks for a time and for something else"
        yield from _moment_problems(moments)
        return
    if field not in FIELDS:
        yield f"a condition asks for {field!r}, which is not known"
    if not EXPRESSION.fullmatch(expression):
        yield f"the expression {expression!r} holds what FreeSWITCH might read otherwise"
        return
    try:
        re.compile(expression)
    except re.error as error:
        yield f"the expression {expression!r} means nothing: {error}"


def _moment_problems(moments: list[tuple[str, str]]) -> Iterator[str]:
    for name, value in moments:
        if not MOMENTS[name].fullmatch(value):
            yield f"{name} is {value!r}, which FreeSWITCH might read otherwise"
        elif name == "time-of-day" and any(first > last for first, last in re.findall(rf"({_TIME})-({_TIME})", value)):
            yield f"{name} is {value!r}, which goes over midnight"


def _action_problems(element: ElementTree.Element) -> Iterator[str]:
    application, data = element.get("application", ""), element.get("data", "")
    if "inline" in element.attrib and not (
        element.get("inline") == "true" and application == "set" and INLINE.fullmatch(data)
    ):
        yield f"{application} {data[:80]!r} may not run inline"
        return
    if application not in APPLICATIONS:
        # An unknown application hangs the call up.
        yield f"the application {application!r} is not one of {', '.join(sorted(APPLICATIONS))}"
        return
    if application == "transfer":
        data = data.replace(KEY, "", 1)
    elif application == "bridge":
        for name in GLOBALS:
            data = data.replace(name, "", 1)
    if not DATA.fullmatch(data):
        yield f"{application} holds a sign that FreeSWITCH could act on: {data[:80]!r}"


def _lost_transfers(root: ElementTree.Element) -> Iterator[str]:
    """A call transferred to an extension that nobody takes is hung up."""
    taken = [
        re.compile(extension[0].get("expression", ""))
        for extension in root
        if len(extension) and extension.get("continue") != "true"
    ]
    for element in root.iter():
        target = element.get("data", "").partition(" ")[0].replace(KEY, "none")
        goes_on_here = element.get("application") == "transfer" and target.startswith(ENTRY)
        if goes_on_here and not any(expression.search(target) for expression in taken):
            yield f"nothing takes a call that is transferred to {target!r}"
