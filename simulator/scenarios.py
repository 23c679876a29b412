"""Who calls and what they want: goals, the words they use, and the kinds of callers with their share of the traffic.

Owns the lists. A flow's own example utterances replace the built-in ones when its snapshot is given.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from simulator.errors import ScenarioError
from simulator.interrupting import By

ACCOUNTS: Final = ("4217",)  # a customer of the demonstration's business
_DIGIT_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
YES: Final = ("yes please", "yes that is right")
NO: Final = ("no that is wrong",)
GOODBYE: Final = ("no thank you goodbye", "no thank you")


@dataclass(frozen=True, slots=True)
class Goal:
    """``keywords`` pick the menu's option; ``answer`` (a regular expression on lower-case words) ends the wish.

    ``script`` is what the caller expects to be asked for after the goal itself, in that order: ``account`` or
    ``choice`` (one of ``choices``).
    """

    name: str
    keywords: tuple[str, ...]
    answer: str
    script: tuple[str, ...]
    utterances: tuple[str, ...]
    choices: tuple[str, ...] = ()
    key: str = ""
    """What somebody who called before presses for it at once."""


_PEOPLE: Final = ("person", "human", "agent", "someone", "advisor", "adviser", "operator", "representative", "our team")

# Names and words of the demonstration flow's intents (callflows/demo.py), which a published snapshot replaces.
# fmt: off
GOALS: Final[dict[str, Goal]] = {
    goal.name: goal
    for goal in (
        Goal(
            "balance",
            ("balance",),
            r"\bbalance is\b|\byou (?:have|owe)\b[^?]*\b(?:pounds?|dollars?|euros?|pence|cents)\b",
            ("account",),
            (
                "what is my balance", "how much money do i have", "tell me my account balance",
                "i would like to know my balance", "how much do i owe you", "can you check my balance please",
                "what is the balance on my account", "please give me my current balance",
            ),
        ),
        Goal(
            "order_status",
            ("order", "delivery", "parcel"),
            r"\border (?:is|has|was|will|left|arrives)\b|\b(?:dispatched|shipped|delivered|on its way)\b",
            ("account",),
            (
                "where is my order", "what is the status of my order", "has my package been shipped",
                "when will my order arrive", "i want to track my package", "my delivery has not arrived yet",
                "can you tell me where my parcel is", "when do i get the things i ordered",
            ),
        ),
        Goal(
            "opening_hours",
            ("opening hours", "hours", "open"),
            r"\bwe (?:are|re) (?:open|closed)\b|\bwe open again\b|\bopen (?:from|between|until)\b|\bhours are\b",
            (),
            (
                "what are your opening hours", "when are you open", "are you open today", "what time do you close",
                "until when is the shop open", "do you open on saturday", "how late are you open tonight",
                "tell me your business hours",
            ),
        ),
        Goal(
            "appointment",
            ("appointment", "booking"),
            r"\b(?:is|are|been|have) (?:now )?(?:booked|confirmed)\b|\bsee you\b",
            ("account",),
            (
                "i would like to make an appointment", "can i book an appointment", "i need to schedule a visit",
                "please send a technician to my house", "i want somebody to come and repair it",
                "do you have a free slot this week", "make an appointment for me", "could i arrange a meeting with you",
            ),
            ("the first one please",),
        ),
        Goal(
            "person",
            _PEOPLE,
            r"(?!)",  # only a conversation with a person will do
            (),
            (
                "i want to speak to a person", "let me talk to a human", "can i talk to somebody please",
                "connect me with an agent", "give me a real person", "i want to make a complaint",
                "put me through to customer service", "transfer me to a representative",
            ),
        ),
    )
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of caller. ``share`` is their weight in the default mix; zero keeps them out of it.

    ``barges_in``: presses their key while the menu is still read out. ``interrupts``: answers a question before its end.
    ``keys_only``: never speaks, and asks for the menu. ``then``: further errands of the same call, one after the other.
    ``think_s``: how long they consider each answer, when that is not the traffic's own.
    """

    name: str
    goal: str
    share: float
    barges_in: bool = False
    interrupts: By | None = None
    types_ahead: bool = False
    keys_only: bool = False
    then: tuple[str, ...] = ()
    think_s: tuple[float, float] | None = None
    hangs_up_after_s: tuple[float, float] | None = None


# Most people need some seconds for each choice; the menu gives them five.
_UNHURRIED_S: Final = (1.0, 3.5)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario("balance", "balance", 3),
        Scenario("order_status", "order_status", 3),
        Scenario("opening_hours", "opening_hours", 2),
        Scenario("appointment", "appointment", 1),
        Scenario("person", "person", 1),
        Scenario("interrupts_by_voice", "balance", 0.5, interrupts=By.VOICE),
        Scenario("interrupts_by_key", "order_status", 0.5, interrupts=By.KEY),
        Scenario("barge_in", "balance", 0, barges_in=True),
        Scenario("type_ahead", "balance", 0, types_ahead=True),
        Scenario("keys_balance", "balance", 0, keys_only=True),
        Scenario("keys_order_status", "order_status", 0, keys_only=True),
        Scenario("keys_opening_hours", "opening_hours", 0, keys_only=True, think_s=_UNHURRIED_S),
        # A minute and more each.
        Scenario("keys_errands", "balance", 0, keys_only=True, then=("opening_hours", "order_status"), think_s=_UNHURRIED_S),
        Scenario("keys_enquiry", "order_status", 0, keys_only=True, then=("balance", "order_status"), think_s=_UNHURRIED_S),
        Scenario("impatient", "balance", 0, hangs_up_after_s=(3.0, 10.0)),
    )
}


def digits_heard(words: str) -> str:
    """The digits that were spoken one by one; numerals are names of keys."""
    return "".join(str(_DIGIT_WORDS.index(word)) for word in re.findall(r"[a-z]+", words) if word in _DIGIT_WORDS)


def digits_spoken(digits: str) -> str:
    return " ".join(_DIGIT_WORDS[int(digit)] for digit in digits)


def choose(names: str, random_source: random.Random) -> Scenario:
    """``mix`` (the default shares), or names with optional weights: ``balance:3,person``."""
    weighted = parse_mix(names)
    return random_source.choices([scenario for scenario, _ in weighted], [weight for _, weight in weighted])[0]


def parse_mix(names: str) -> list[tuple[Scenario, float]]:
    """Raises :class:`ScenarioError` for a name that does not exist or weights that add up to nothing."""
    if names.strip() in ("", "mix"):
        return [(scenario, scenario.share) for scenario in SCENARIOS.values() if scenario.share]
    found: list[tuple[Scenario, float]] = []
    for item in names.split(","):
        name, _, weight = item.strip().partition(":")
        if name not in SCENARIOS:
            raise ScenarioError(f"no scenario {name!r}: use mix, {', '.join(SCENARIOS)}")
        try:
            found.append((SCENARIOS[name], float(weight or 1)))
        except ValueError as error:
            raise ScenarioError(f"{item!r}: the weight is not a number") from error
    if sum(weight for _, weight in found) <= 0:
        raise ScenarioError("the weights of the scenarios add up to nothing")
    return found


def load_goals(snapshot: Path | None) -> dict[str, Goal]:
    """The goals with the published flow's own example utterances and choices, where it has them.

    Raises :class:`ScenarioError` when the file exists and is not a snapshot; a missing file means the built-in words.
    """
    if snapshot is None or not snapshot.exists():
        return dict(GOALS)
    try:
        flows = json.loads(snapshot.read_text(encoding="utf-8"))["flows"]
        goals = dict(GOALS)
        for flow in sorted(flows, key=lambda flow: int(flow["number"])):
            goals |= _goals_of(flow, goals)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScenarioError(f"{snapshot} is not a flow snapshot: {error}") from error
    return goals


def _goals_of(flow: dict[str, Any], goals: dict[str, Goal]) -> dict[str, Goal]:
    slots = {slot["name"]: slot for slot in flow.get("slots", ())}
    found: dict[str, Goal] = {}
    for intent in flow["intents"]:
        goal = goals.get(intent["name"])
        if goal is None:
            continue
        wanted = [slots[name] for name in intent.get("slots", ()) if name in slots]
        choices = tuple(choice["words"] for slot in wanted for choice in slot.get("choices", ()))
        found[goal.name] = replace(
            goal,
            utterances=tuple(intent["utterances"]) or goal.utterances,
            script=tuple("choice" if slot.get("choices") else "account" for slot in wanted),
            choices=choices or goal.choices,
            key=str(intent.get("digit", "")),
        )
    return found
