"""What a caller decides once the other side has stopped talking. Pure: words in, one action out.

Owns a caller's understanding of where they are in their errand. Hearing and speaking are :mod:`simulator.callers`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from enum import StrEnum

from simulator.hearing import Heard, Option, understand
from simulator.scenarios import GOALS, GOODBYE, NO, YES, Goal, digits_heard, digits_spoken

# An option that leads round in a circle is nobody's goal.
_CIRCULAR = re.compile(r"\b(?:repeat|again|main menu|the menu|go back|start over|hear)\b")
_LEAVING = re.compile(r"\b(?:end|finish|hang up|goodbye|person|someone|agent|team|anything else|something else)\b")


# What asks for the menu while the AI speaks.
MENU_KEY = "*"
# Some people answer a question of the machine's with a key.
_KEYED_ANSWERS = 0.25


class Kind(StrEnum):
    WAIT = "wait"
    SAY = "say"
    PRESS = "press"
    HANG_UP = "hang_up"


@dataclass(frozen=True, slots=True)
class Action:
    kind: Kind
    text: str = ""  # what to say, or the keys to press


WAIT = Action(Kind.WAIT)
HANG_UP = Action(Kind.HANG_UP)


@dataclass(slots=True)
class Mind:
    goal: Goal
    account: str
    random_source: random.Random
    answered: bool = False  # the goal's answer was heard
    helped_by_person: bool = False
    told_all: bool = False
    """The other side has said what comes after an answer: until then it may stop in the middle of it."""
    in_fallback: bool = False
    keys_only: bool = False
    later: list[Goal] = field(default_factory=list)
    """Errands of the same call, after this one."""
    _chose_in_menu: bool = False
    _asked_anew: bool = False
    _said: list[str] = field(default_factory=list)
    _script: list[str] = field(default_factory=list)
    _spoken_goals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._script = list(self.goal.script)

    @property
    def satisfied(self) -> bool:
        return self.answered or self.helped_by_person

    def decide(self, text: str, *, unknown_speech: bool) -> Action:
        """``text`` was heard since the last action; ``unknown_speech``: a voice without known words spoke too."""
        heard = understand(text)
        self._take_in(heard, unknown_speech=unknown_speech)
        if self.satisfied:
            self.told_all = self.told_all or heard.anything_else or heard.goodbye or bool(heard.options)
            if not (heard.anything_else or heard.goodbye or heard.options):
                return WAIT
            over = heard.goodbye or self.helped_by_person or not self.later
            return HANG_UP if over else self._next_errand()
        if heard.confirm and not self.in_fallback and not self.keys_only:
            return self._confirm(heard)
        if heard.options or heard.wants_digits:
            return self._press(heard)
        if self.keys_only and not heard.please_wait and (heard.open_question or heard.again or heard.account):
            return self.ask_for_menu()  # not the menu's words: another bridge has the call, and knows nothing of the key
        if self.in_fallback or heard.please_wait or (heard.goodbye and not heard.open_question):
            return WAIT  # a menu takes keys only
        if not text:
            return self._guess() if unknown_speech else WAIT
        return self._answer(heard)

    def is_asked(self, text: str) -> bool:
        """Whether this prompt asks what the caller can answer before it ends: what they want, or their number."""
        heard = understand(text)
        if self.in_fallback or self.satisfied or heard.options or heard.wants_digits or heard.again:
            return False
        if heard.account:
            return "account" in self._script
        return heard.open_question and "goal" not in self._said

    def keys_instead(self, text: str) -> Action:
        """The answer by keys to what :meth:`is_asked`."""
        if not understand(text).account:
            self._said.append("goal")
            return Action(Kind.PRESS, self.goal.key or "1")
        self._said.append("account")
        self._script.remove("account")
        return Action(Kind.PRESS, self.account + "#")

    def ask_for_menu(self) -> Action:
        self._said.append("goal")
        return Action(Kind.PRESS, MENU_KEY)

    def option_for_goal(self, text: str) -> Option | None:
        """The menu line that names the goal, for a caller who does not wait for the menu's end."""
        return next((option for option in understand(text).options if self._is_goal(option)), None)

    def _next_errand(self) -> Action:
        self.goal = self.later.pop(0)
        self.answered = self.told_all = self._chose_in_menu = self._asked_anew = False
        self._script = list(self.goal.script)
        return self.ask_for_menu()

    def _take_in(self, heard: Heard, *, unknown_speech: bool) -> None:
        all_said = "goal" in self._said and (not self._script or heard.anything_else)
        if re.search(self.goal.answer, heard.text) or (unknown_speech and all_said and self.goal.name != "person"):
            self.answered = True
        if heard.to_team or heard.wants_digits or len(heard.options) > 1 or any(map(self._is_goal, heard.options)):
            self.in_fallback = True

    def _is_goal(self, option: Option) -> bool:
        return any(word in option.what for word in self.goal.keywords)

    def _press(self, heard: Heard) -> Action:
        wanted = None if self._chose_in_menu else next((o for o in heard.options if self._is_goal(o)), None)
        if wanted is not None:
            self._chose_in_menu = True
            return Action(Kind.PRESS, wanted.key)
        if heard.wants_digits:
            return Action(Kind.PRESS, self.account + "#")
        more = next((o for o in heard.options if "anything else" in o.what), None)
        if more and not (self._chose_in_menu and self._asked_anew):
            # Another bridge knows nothing of their key. Once for an errand: whose answer is kept from them again is lost.
            self._asked_anew = self._chose_in_menu
            self._chose_in_menu = False
            return Action(Kind.PRESS, more.key)
        useful = [
            o for o in heard.options
            if not _CIRCULAR.search(o.what) and not _LEAVING.search(o.what) and (self._is_goal(o) or not _is_anothers(o))
        ]  # fmt: skip
        if useful:
            # Offered times, or "to confirm, press 1". The menu heard anew after an error has the goal in it again.
            again = next((option for option in useful if self._is_goal(option)), None)
            return Action(Kind.PRESS, (again or useful[0]).key)
        return WAIT

    def _answer(self, heard: Heard) -> Action:
        wishes = [what for what in self._said if what not in ("yes", "no")]
        if heard.again and wishes:
            return self._say(wishes[-1])
        if heard.account:
            return self._say("account")  # also who was misunderstood and is served something else: silence helps nobody
        if self._is_offer(heard):
            return self._say("choice")
        if heard.anything_else or heard.open_question or "goal" not in self._said:
            return self._say("goal")
        return self._guess() if heard.text.endswith("?") else WAIT

    def _confirm(self, heard: Heard) -> Action:
        """Right, when it is their own number or wish that they hear, or nothing that they know to be another's."""
        number = digits_heard(heard.text)
        if number:
            right = number == self.account
        else:
            others = (goal for name, goal in GOALS.items() if name != self.goal.name)
            right = _names(self.goal, heard.text) or not any(_names(goal, heard.text) for goal in others)
        if not right and number:
            self._script.append("account")
        if heard.options and self.random_source.random() < _KEYED_ANSWERS:
            return Action(Kind.PRESS, "1" if right else "2")
        return self._say("yes" if right else "no")

    def _is_offer(self, heard: Heard) -> bool:
        if not self.goal.choices or "goal" not in self._said:
            return False
        return heard.offer or any(choice.lower() in heard.text for choice in self.goal.choices)

    def _guess(self) -> Action:
        """A voice whose words are not known: what a person who follows their own errand would say next."""
        if "goal" not in self._said:
            return self._say("goal")
        return self._say(self._script[0]) if self._script else WAIT

    def _say(self, what: str) -> Action:
        self._said.append(what)
        if what in self._script:
            self._script.remove(what)
        if what == "goal":
            return Action(Kind.SAY, self._another_utterance())
        if what == "account":
            return Action(Kind.SAY, digits_spoken(self.account))
        words = {"yes": YES, "no": NO, "choice": self.goal.choices or ("the first one please",), "goodbye": GOODBYE}[what]
        return Action(Kind.SAY, self.random_source.choice(words))

    def _another_utterance(self) -> str:
        fresh = [words for words in self.goal.utterances if words not in self._spoken_goals] or self.goal.utterances
        chosen = self.random_source.choice(fresh)
        self._spoken_goals.append(chosen)
        return chosen


def _is_anothers(option: Option) -> bool:
    """Half a menu was heard, and this is in it: what they want is still to come, or comes again."""
    return any(word in option.what for goal in GOALS.values() for word in goal.keywords)


def _names(goal: Goal, text: str) -> bool:
    return any(word in text for word in goal.keywords)
