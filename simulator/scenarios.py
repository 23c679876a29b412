"""Who calls and what they want: goals, the words they use, and the kinds of callers with their share of the traffic.

Owns the lists. A flow's own example utterances replace the built-in ones when its snapshot is given.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from simulator.errors import ScenarioError

ACCOUNTS: Final = ("4217",)  # a customer of the demonstration's business
_DIGIT_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
YES: Final = ("yes please", "yes")
GOODBYE: Final = ("no thank you goodbye", "no thank you")


@dataclass(frozen=True, slots=True)
class Goal:
    """``keywords`` pick the menu's option; ``answer`` (a regular expression on lower-case words) ends the wish.

    ``script`` is what the caller says after the goal itself, in the order they expect to be asked: ``account``,
    ``choice`` or ``yes``.
    """

    name: str
    keywords: tuple[str, ...]
    answer: str
    script: tuple[str, ...]
    utterances: tuple[str, ...]
    choices: tuple[str, ...] = ()


_PEOPLE: Final = ("person", "human", "agent", "someone", "advisor", "adviser", "operator", "representative", "our team")

GOALS: Final[dict[str, Goal]] = {
    goal.name: goal
    for goal in (
        Goal(
            "balance",
            ("balance",),
            r"\bbalance is\b|\byou (?:have|owe)\b[^?]*\b(?:pounds?|dollars?|euros?|pence|cents)\b",
            ("account",),
            (
                "what is my balance",
                "i would like to know my account balance",
                "how much money do i have",
                "can you tell me my balance please",
                "i want to check my balance",
            ),
        ),
        Goal(
            "order_status",
            ("order", "delivery", "parcel"),
            r"\border\b[^?]*\b(?:is|has|was|will|left|arrives?)\b|\b(?:dispatched|shipped|delivered|on its way)\b",
            ("account",),
            (
                "where is my order",
                "what is the status of my order",
                "i want to know when my order arrives",
                "has my order been sent",
                "i would like to track my order",
            ),
        ),
        Goal(
            "opening_hours",
            ("opening hours", "hours", "open"),
            r"\bwe are open\b|\bopen (?:from|between|monday|every|on)\b|\bopening hours are\b",
            (),
            (
                "what are your opening hours",
                "when are you open",
                "are you open on saturday",
                "what time do you close today",
                "when do you open in the morning",
            ),
        ),
        Goal(
            "appointment",
            ("appointment", "booking"),
            r"\b(?:is|are|been|have) (?:now )?(?:booked|confirmed)\b|\bhave booked\b|\bsee you\b",
            ("choice", "yes"),
            (
                "i would like to make an appointment",
                "can i book an appointment please",
                "i need to book an appointment",
                "i want to come in and see someone",
                "please book me in for a visit",
            ),
            ("the first one please",),
        ),
        Goal(
            "person",
            _PEOPLE,
            r"(?!)",  # only a conversation with a person will do
            (),
            (
                "i want to speak to a person",
                "can i talk to someone please",
                "put me through to an agent",
                "i need to talk to a human being",
                "let me speak to customer service",
            ),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of caller. ``share`` is their weight in the default mix; zero keeps them out of it."""

    name: str
    goal: str
    share: float
    barges_in: bool = False
    types_ahead: bool = False
    hangs_up_after_s: tuple[float, float] | None = None


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario("balance", "balance", 3),
        Scenario("order_status", "order_status", 3),
        Scenario("opening_hours", "opening_hours", 2),
        Scenario("appointment", "appointment", 1),
        Scenario("person", "person", 1),
        Scenario("barge_in", "balance", 0, barges_in=True),
        Scenario("type_ahead", "balance", 0, types_ahead=True),
        Scenario("impatient", "balance", 0, hangs_up_after_s=(3.0, 10.0)),
    )
}


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
        choices = [
            choice["words"]
            for name in intent.get("slots", ())
            for choice in slots.get(name, {}).get("choices", ())
        ]
        found[goal.name] = replace(
            goal, utterances=tuple(intent["utterances"]) or goal.utterances, choices=tuple(choices) or goal.choices
        )
    return found
