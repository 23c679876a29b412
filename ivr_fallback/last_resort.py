"""The dialplan of last resort: the published flows' keypad menus as FreeSWITCH XML that a switch obeys by itself.

Owns what it says and where its keys lead. Pure: flows in, text out; the checks of that text are ``last_resort_checks.py``'s.
A key leads to its person. What needs an action cannot be done without a bridge: the caller is told so, and goes to a person.
Outside the flow's opening hours nobody goes to a person: the caller is told so and may choose again, as with a bridge.

Conditions are evaluated before any action runs, so a key is only acted on after a transfer to the extension that it names.
Stages are unrolled: nothing is counted, and the only variable in an action is the key.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass

from callflows.definition import hours as opening
from callflows.definition.flow import FlowVersion, Intent, Phrase, Policy, Snapshot
from ivr_fallback.last_resort_hours import OPEN_CONDITION, ZONE, write_hours
from ivr_fallback.menu import CHOICE_TIMEOUT_MS, MENU_KEY, PERSON_KEY
from ivr_fallback.parity import DESTINATION, FILE, MENU_DIGITS, NAME

# Where the deployed chain sends a call that no bridge has, and the beginning of all that is made here.
ENTRY = "ll-lr"
KEY_VARIABLE = "ll_key"
CHOICE_VARIABLE = "ll_lr_choice"
PERSON_CHOICE = "person"
# As the deployed chain understands an agent's name; any other one leads where the chain sends it, to its own person.
FULL_AGENT = re.compile(r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9_.-]{1,255}(?::[0-9]{1,5})?")
BARE_AGENT = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")
NUMBER = re.compile(r"\*|[0-9A-Za-z+*#]{1,32}")
# "!" separates files; the rest is what a bridge, too, lets into an argument, but for the space, which separates words here.
FOLDER = re.compile(r"/[A-Za-z0-9_.:@+/-]{0,500}")
EXTENSION = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
# file_string takes no more parts (mod_dptools).
MOST_PARTS = 128
# A person who is there answers sooner; FreeSWITCH alone would ring for a minute.
RING_S = 30
# A transfer costs one of these, and the last one hangs the call up: each menu gives them back.
TRANSFERS = 70
# Ringing that the caller hears while a person is called; after the answer there is silence without it.
RINGBACK = "%(1000,4000,425)"
# What comes before the choices in each stage, by who arrives there, and where no key and wrong keys lead.
NEW, MID_CALL, CHOICES, SECOND, LAST, MORE = "new", "mid", "1", "2", "3", "more"
NEXT = {NEW: SECOND, MID_CALL: SECOND, CHOICES: SECOND, SECOND: LAST, LAST: "", MORE: SECOND}


class LastResortError(Exception):
    """A flow cannot be made into a dialplan: ``text`` says which part, in words for whoever publishes it."""


@dataclass(frozen=True, slots=True)
class Place:
    """What of this switch the text names: its prompts, and the extension and context of the chain."""

    prompt_dir: str
    chain_extension: str = "9200"
    context: str = "lifeline"


def render(snapshot: Snapshot, place: Place) -> str:
    """The text of the include file for the newest version of every flow. Raises :class:`LastResortError`."""
    if not FOLDER.fullmatch(place.prompt_dir):
        raise LastResortError("the prompt folder's path may hold letters, digits and . _ : @ + - / only, and begins with /")
    if not (EXTENSION.fullmatch(place.chain_extension) and EXTENSION.fullmatch(place.context)):
        raise LastResortError("the chain's extension or context holds other signs than letters, digits and . _ + * # -")
    flows = newest(snapshot)
    root = ElementTree.Element("include")
    for menu in [_Menu(flow, place) for flow in flows]:
        menu.check()
        menu.entries_of_calls_that_have_a_flow(root)
    for flow in sorted(flows, key=lambda flow: (flow.destination_number == "*", -flow.number, flow.slug)):
        _Menu(flow, place).entry_by_number(root)
    for flow in flows:
        _Menu(flow, place).write(root)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True) + "\n"


def newest(snapshot: Snapshot) -> list[FlowVersion]:
    """One version of each flow, by slug."""
    found: dict[str, FlowVersion] = {}
    for flow in snapshot.flows:
        if flow.slug not in found or flow.number > found[flow.slug].number:
            found[flow.slug] = flow
    return [found[slug] for slug in sorted(found)]


def phrases_in_use(flow: FlowVersion) -> list[Phrase]:
    """Every phrase that the last resort plays for this flow, each once."""
    system = flow.system
    own = (system.greeting, system.transfer_to_team, system.menu_intro, system.invalid_choice, system.connecting,
           system.no_agent, system.action_failed, system.anything_else_menu, system.goodbye)  # fmt: skip
    shut = () if flow.hours is None else (*flow.greeting(is_open=False), system.closed)
    return list(dict.fromkeys((*own, *shut, *(intent.menu for intent in flow.intents))))


class _Menu:
    """One flow's extensions. Their names hold the version, so that a call in the menu of an older file starts in the newer."""

    def __init__(self, flow: FlowVersion, place: Place) -> None:
        self._flow = flow
        self._place = place
        self._base = f"{ENTRY}-{flow.slug}:{flow.number}"

    def check(self) -> None:
        flow = self._flow
        if not SLUG.fullmatch(flow.slug):
            raise LastResortError(f"Flow {flow.name}: its short name may hold letters, digits, - and _ only")
        if not NUMBER.fullmatch(flow.destination_number):
            raise LastResortError(f"Flow {flow.name}: the dialled number holds other signs than letters, digits and + * #")
        for where, destination in self._destinations():
            if not DESTINATION.fullmatch(destination):
                raise LastResortError(f"{where}: the destination may hold letters, digits and . _ @ : + - / only")
        for intent in flow.intents:
            if not NAME.fullmatch(intent.name) or intent.digit not in tuple(MENU_DIGITS):
                raise LastResortError(f"Intent {intent.label or intent.name}: its name or its key cannot be used in a menu")
        for phrase in phrases_in_use(flow):
            if not FILE.fullmatch(phrase.file):
                raise LastResortError(f"Flow {flow.name}: the phrase {phrase.text!r} has no audio file")
        if len(flow.intents) + 3 > MOST_PARTS:
            raise LastResortError(f"Flow {flow.name}: a menu of more than {MOST_PARTS - 3} choices cannot be played")
        if flow.hours is not None:
            if not ZONE.fullmatch(flow.hours.zone):
                raise LastResortError(f"Flow {flow.name}: the time zone's name holds other signs than letters, digits and _ + - /")
            for _part, text in opening.problems(flow.hours):
                raise LastResortError(f"Flow {flow.name}: {text}")

    def _destinations(self) -> Iterable[tuple[str, str]]:
        yield f"Flow {self._flow.name}", self._flow.human_destination
        for intent in self._flow.intents:
            if intent.destination:
                yield f"Intent {intent.label or intent.name}", intent.destination

    # --- Who comes here ---

    def entries_of_calls_that_have_a_flow(self, root: ElementTree.Element) -> None:
        """A bridge had the call: it keeps its flow, in its newest version."""
        slug = re.escape(self._flow.slug)
        for expression, stage in ((f"^{slug}:[0-9]+ after_agent$", MORE), (f"^{slug}:[0-9]+ ", MID_CALL)):
            actions = _extension(root, f"{self._base} {stage}", f"^{ENTRY}$", ("${ll_flow} ${ll_step}", expression))
            self._enter(actions, stage)

    def entry_by_number(self, root: ElementTree.Element) -> None:
        """No bridge ever had it: by the number that was dialled, as a bridge finds the flow."""
        number = self._flow.destination_number
        dialled = re.escape(number)
        more = () if number == "*" else (("${ll_dialled}|${sip_req_user}", rf"^({dialled}\|.*|\|{dialled})$"),)
        actions = _extension(root, f"{self._base} {NEW}", f"^{ENTRY}$", *more)
        self._enter(actions, NEW)

    def _enter(self, actions: ElementTree.Element, stage: str) -> None:
        _act(actions, "set", f"ll_flow={self._flow.slug}:{self._flow.number}")
        self._go(actions, stage)

    # --- What is said ---

    def write(self, root: ElementTree.Element) -> None:
        if self._flow.hours is not None:
            write_hours(root, self._base, self._flow.hours)
        system = self._flow.system
        choices = (system.menu_intro, *(intent.menu for intent in self._flow.intents))
        said = {NEW: (*self._flow.greeting(is_open=True), *choices), MID_CALL: (system.transfer_to_team, *choices)}
        said |= {CHOICES: choices, SECOND: choices, LAST: choices, MORE: (system.anything_else_menu,)}
        for stage, phrases in said.items():
            self._stage(root, stage, phrases)
        for intent in self._flow.intents:
            self._key(root, intent.digit, intent)
        self._key(root, PERSON_KEY, None)
        again = _extension(root, f"{self._base} again", self._pressed(re.escape(MENU_KEY)))
        self._go(again, CHOICES)
        for stage in said:
            self._without_a_choice(root, stage)
        self._after_the_person(root)

    def _stage(self, root: ElementTree.Element, stage: str, phrases: tuple[Phrase, ...]) -> None:
        """``play_and_get_digits``: one key, one try, no terminator, so that star and hash are keys like all others."""
        opened, shut = self._flow.greeting(is_open=True), self._flow.greeting(is_open=False)
        differs = stage == NEW and self._flow.hours is not None and shut != opened
        more = (OPEN_CONDITION,) if differs else ()
        actions = _extension(root, f"{self._base} {stage}", f"^{self._escaped}:{stage}$", *more)
        self._ask(actions, stage, phrases, "action")
        if differs:
            self._ask(actions, stage, (*shut, *phrases[len(opened) :]), "anti-action")

    def _ask(self, actions: ElementTree.Element, stage: str, phrases: tuple[Phrase, ...], kind: str) -> None:
        files = "!".join(f"{self._place.prompt_dir}/{phrase.file}" for phrase in phrases)
        _act(actions, "set", f"max_session_transfers={TRANSFERS}", kind)
        # Preset: after no key at all the variable would keep an older one.
        _act(actions, "set", f"{KEY_VARIABLE}=none", kind)
        keys = f"file_string://{files} silence_stream://100 {KEY_VARIABLE} [0-9*#]"
        _act(actions, "play_and_get_digits", f"1 1 1 {CHOICE_TIMEOUT_MS} none {keys}", kind)
        self._go(actions, f"{stage}:${{{KEY_VARIABLE}}}", kind)

    def _key(self, root: ElementTree.Element, digit: str, intent: Intent | None) -> None:
        before = [("set", f"{CHOICE_VARIABLE}={intent.name if intent else PERSON_CHOICE}")]
        if intent is not None and intent.policy is Policy.AUTOMATE:
            before.append(self._playing(self._flow.system.action_failed))
        destination = (intent.destination if intent else "") or self._flow.human_destination
        self._to_person(root, f"{self._base} key {digit}", self._pressed(digit), destination, before)

    def _without_a_choice(self, root: ElementTree.Element, stage: str) -> None:
        """No key, then any other: the next stage, in the end a person; after a person, no key means nothing more is wanted."""
        name, expression = f"{self._base} {stage} silent", f"^{self._escaped}:{stage}:(none)?$"
        if stage == MORE:
            silent = _extension(root, name, expression)
            self._play(silent, self._flow.system.goodbye)
            _act(silent, "hangup")
        else:
            self._next(root, name, expression, stage, [])
        wrong = [self._playing(self._flow.system.invalid_choice)]
        self._next(root, f"{self._base} {stage} wrong", f"^{self._escaped}:{stage}:", stage, wrong)

    def _next(
        self, root: ElementTree.Element, name: str, expression: str, stage: str, before: list[tuple[str, str]]
    ) -> None:
        if not NEXT[stage]:
            self._to_person(root, name, expression, self._flow.human_destination, before)
            return
        actions = _extension(root, name, expression)
        for application, data in before:
            _act(actions, application, data)
        self._go(actions, NEXT[stage])

    # --- The person ---

    def _to_person(
        self, root: ElementTree.Element, name: str, expression: str, destination: str, before: list[tuple[str, str]]
    ) -> None:
        """``before`` at any hour; then the person, or that nobody is there and the menu again."""
        has_hours = self._flow.hours is not None
        actions = _extension(root, name, expression, *((OPEN_CONDITION,) if has_hours else ()))
        for application, data in before:
            _act(actions, application, data)
        self._person(actions, destination)
        if has_hours:
            for application, data in (*before, self._playing(self._flow.system.closed)):
                _act(actions, application, data, "anti-action")
            self._go(actions, MORE, "anti-action")

    def _person(self, actions: ElementTree.Element, destination: str) -> None:
        self._play(actions, self._flow.system.connecting)
        for variable in ("continue_on_fail=true", "hangup_after_bridge=false", f"call_timeout={RING_S}",
                         "ignore_early_media=true", f"transfer_ringback={RINGBACK}",
                         "instant_ringback=true"):  # fmt: skip
            _act(actions, "set", variable)
        _act(actions, "unset", "originate_disposition")
        _act(actions, "bridge", dial_string(destination))
        self._go(actions, "after")

    def _after_the_person(self, root: ElementTree.Element) -> None:
        """Back to the chain, where a bridge may be alive again; when nobody answered, goodbye."""
        met = _extension(root, f"{self._base} after", f"^{self._escaped}:after$", ("${originate_disposition}", "^SUCCESS$"))
        _act(met, "set", "ll_step=after_agent")
        _act(met, "unset", "ll_hops")
        _act(met, "transfer", f"{self._place.chain_extension} XML {self._place.context}")
        for phrase in (self._flow.system.no_agent, self._flow.system.goodbye):
            self._play(met, phrase, "anti-action")
        _act(met, "hangup", "", "anti-action")

    # --- Small pieces ---

    @property
    def _escaped(self) -> str:
        return re.escape(self._base)

    def _pressed(self, key: str) -> str:
        return f"^{self._escaped}:[a-z0-9]+:{key}$"

    def _go(self, actions: ElementTree.Element, stage: str, kind: str = "action") -> None:
        _act(actions, "transfer", f"{self._base}:{stage} XML {self._place.context}", kind)

    def _play(self, actions: ElementTree.Element, phrase: Phrase, kind: str = "action") -> None:
        _act(actions, *self._playing(phrase), kind)

    def _playing(self, phrase: Phrase) -> tuple[str, str]:
        return "playback", f"{self._place.prompt_dir}/{phrase.file}"


def dial_string(destination: str) -> str:
    """As the deployed chain would dial it."""
    if FULL_AGENT.fullmatch(destination):
        return f"sofia/internal/{destination}"
    if BARE_AGENT.fullmatch(destination):
        return f"sofia/internal/{destination}@$${{lifeline_agents}}"
    return "$${lifeline_last_resort_agent}"


def _extension(root: ElementTree.Element, name: str, destination: str, *more: tuple[str, str]) -> ElementTree.Element:
    """The condition that gets the actions: the last one."""
    extension = ElementTree.SubElement(root, "extension", name=name)
    condition = ElementTree.SubElement(extension, "condition", field="destination_number", expression=destination)
    for field, expression in more:
        condition = ElementTree.SubElement(extension, "condition", field=field, expression=expression)
    return condition


def _act(actions: ElementTree.Element, application: str, data: str = "", kind: str = "action") -> None:
    element = ElementTree.SubElement(actions, kind, application=application)
    if data:
        element.set("data", data)
