"""The keypad menu made from a flow: the same intents, slots, actions and outcomes as the AI, by keys alone.

Owns the menu's decisions. Pure: no clock, no audio, no switch; it is told what happened and answers with steps.
It skips what is already known, and never needs an engine: all its audio was rendered when the flow was published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from callflows.definition.flow import FlowVersion, Intent, Phrase, Policy, Slot, SlotKind
from ivr_fallback.outcomes import outcome_phrases
from ivr_fallback.steps import (
    Act,
    ActionValues,
    AwaitKey,
    ChooseIntent,
    DropIntent,
    End,
    EnterStep,
    ForgetSlots,
    KeepSlot,
    MenuStep,
    Say,
    Served,
    ToLastResort,
    ToPerson,
)

# People need a few seconds to choose after the last word; FreeSWITCH's own menus wait three to five.
CHOICE_TIMEOUT_MS = 5000
# Between two digits of a number; shorter cuts off people who read from a card.
DIGIT_TIMEOUT_MS = 3500
# After this many wrong or missing keys in a row a person takes over: nobody should go round in circles.
MAX_TRIES = 3
PERSON_KEY = "0"
MENU_KEY = "*"
END_KEY = "#"


class State(StrEnum):
    CHOOSING = "choosing"
    COLLECTING = "collecting"
    ACTING = "acting"
    TELLING = "telling"
    AFTER = "after"
    TO_PERSON = "to_person"
    ENDING = "ending"


class Menu:
    """One caller in the menu. ``slots`` and ``intent`` are what is already known; the menu does not ask for them again.

    ``is_open`` says whether people can be reached at this moment; it is asked whenever the caller would be led to one.
    """

    def __init__(
        self, flow: FlowVersion, *, slots: Mapping[str, str], is_open: Callable[[], bool], intent: str = ""
    ) -> None:
        self._flow = flow
        self._is_open = is_open
        self._slots = dict(slots)
        self._intent = flow.intent(intent)
        self._slot: Slot | None = None
        self._digits = ""
        self._tries = 0
        self._refused_accounts = 0
        self._nobody_is_free = False
        self.state = State.CHOOSING

    def begin(self, opening: tuple[Phrase, ...]) -> list[MenuStep]:
        """Enter the menu; ``opening`` is said first ("Let me transfer you to our team")."""
        if self._intent is None:
            return self._offer(opening)
        return [*_say(opening, (self._flow.system.menu_hint,)), *self._proceed(self._intent)]

    def resume(self, step: str) -> list[MenuStep]:
        """Go on where another bridge left the caller."""
        match step:
            case "goodbye":
                return self._goodbye()
            case "person":
                return self._connect(())
            case "anything_else":
                return self._offer_more(())
        return self.begin(())

    def begin_after_agent(self, opening: tuple[Phrase, ...]) -> list[MenuStep]:
        """A caller comes back from a person, or no person was free, as ``opening`` says: offer the menu again."""
        self._intent = None
        self._nobody_is_free = bool(opening)
        return self._offer_more(opening)

    def on_said(self) -> list[MenuStep]:
        """The last phrase has ended (or was cut by a key: then ``on_key`` follows)."""
        match self.state:
            case State.CHOOSING | State.AFTER:
                return [AwaitKey(CHOICE_TIMEOUT_MS)]
            case State.COLLECTING:
                return [AwaitKey(CHOICE_TIMEOUT_MS if not self._digits else DIGIT_TIMEOUT_MS)]
            case State.TELLING:
                served = [Served(self._intent.name)] if self._intent else []
                self._intent = None
                return [*served, *self._offer_more(())]
            case State.TO_PERSON:
                return [ToPerson(self._destination())]
            case State.ENDING:
                return [End()]
            case State.ACTING:
                return []

    def on_key(self, key: str) -> list[MenuStep]:
        """A key was pressed. What was being said is over."""
        # What is being done is not chosen anew: its result comes within seconds, and would be told of another wish, or done twice.
        if self.state in (State.TO_PERSON, State.ACTING):
            return []
        if self.state is State.COLLECTING and self._slot is not None and self._slot.kind is SlotKind.DIGITS:
            if key.isdecimal():
                return self._digit(key)
            if key == END_KEY:
                return self._number_ended(self._slot)
        if key == MENU_KEY:
            dropped: list[MenuStep] = [DropIntent()] if self._intent else []
            self._intent = None
            self._tries = 0
            return [*dropped, *self._offer(())]
        if self.state is State.COLLECTING and self._slot is not None:
            return self._choice_of_slot(self._slot, key)
        # A number is taken at its last digit; the "#" that the caller was told to press may still follow.
        # While goodbye is being said, too: who presses a key is not done, only a little late.
        if self.state in (State.CHOOSING, State.AFTER, State.ENDING) and key != END_KEY:
            return self._chosen(key)
        return []

    def on_silence(self) -> list[MenuStep]:
        """No key came in time."""
        match self.state:
            case State.COLLECTING if self._slot is not None and self._digits:
                return self._number_ended(self._slot)
            case State.COLLECTING | State.CHOOSING:
                return self._again(())
            case State.AFTER:
                return self._goodbye()
            case _:
                return []

    def on_action(self, outcome: str, values: ActionValues) -> list[MenuStep]:
        """The action is done. An outcome named ``unknown_…`` means that a slot was wrong: it is asked for again."""
        intent = self._intent
        if self.state is not State.ACTING:  # a person is being called meanwhile
            return []
        if intent is None:
            return self._offer(())
        phrases = outcome_phrases(self._flow, intent, outcome, values)
        if phrases is None:
            return self.on_action_failed()
        if outcome.startswith("unknown_"):
            self._refused_accounts += 1
            self._forget(intent)
            if self._refused_accounts >= MAX_TRIES:
                return [ForgetSlots(intent.slots), *self._to_person(phrases)]
            return [ForgetSlots(intent.slots), Say(phrases), *self._proceed(intent)]
        self.state = State.TELLING
        return [EnterStep(f"outcome:{intent.name}"), Say(phrases)]

    def on_action_failed(self) -> list[MenuStep]:
        if self.state is not State.ACTING:
            return []
        return self._to_person((self._flow.system.action_failed,))

    def on_prompt_missing(self) -> list[MenuStep]:
        """A prompt that the menu needs could not be played: the next thing down is a person, at any hour, since the words
        that would say it is closed may be missing as well. Where none was free a moment ago it would go round for ever."""
        self.state = State.TO_PERSON
        if self._nobody_is_free:
            return [ToLastResort()]
        return [EnterStep("person"), ToPerson(self._destination())]

    # --- Offering and choosing ---

    def _offer(self, opening: tuple[Phrase, ...]) -> list[MenuStep]:
        self.state = State.CHOOSING
        keys = tuple(intent.menu for intent in self._flow.intents)
        return [EnterStep("menu"), *_say((*opening, self._flow.system.menu_intro), keys)]

    def _offer_more(self, opening: tuple[Phrase, ...]) -> list[MenuStep]:
        self.state = State.AFTER
        self._tries = 0
        return [EnterStep("anything_else"), *_say(opening, (self._flow.system.anything_else_menu,))]

    def _chosen(self, key: str) -> list[MenuStep]:
        if key == PERSON_KEY:
            return self._connect(())
        intent = self._flow.intent_for_digit(key)
        if intent is None:
            return self._again((self._flow.system.invalid_choice,))
        self._tries = 0
        self._intent = intent
        return [ChooseIntent(intent.name), *self._proceed(intent)]

    def _again(self, opening: tuple[Phrase, ...]) -> list[MenuStep]:
        self._tries += 1
        if self._tries >= MAX_TRIES:
            return self._connect(opening)
        if self.state is State.COLLECTING and self._slot is not None:
            return self._ask(self._slot, opening)
        return self._offer(opening)

    # --- Collecting ---

    def _proceed(self, intent: Intent) -> list[MenuStep]:
        if intent.policy is Policy.HUMAN:
            return self._connect(())
        for name in intent.slots:
            slot = self._flow.slot(name)
            if slot is not None and name not in self._slots:
                return self._ask(slot, ())
        self.state = State.ACTING
        return [EnterStep(f"action:{intent.name}"), Act(intent.name, {name: self._slots[name] for name in intent.slots})]

    def _ask(self, slot: Slot, opening: tuple[Phrase, ...]) -> list[MenuStep]:
        self.state = State.COLLECTING
        self._slot = slot
        self._digits = ""
        return [EnterStep(f"slot:{slot.name}"), *_say(opening, (slot.ask_keypad,))]

    def _digit(self, key: str) -> list[MenuStep]:
        assert self._slot is not None
        self._digits += key
        if len(self._digits) >= self._slot.max_length:
            return self._number_ended(self._slot)
        return [AwaitKey(DIGIT_TIMEOUT_MS)]

    def _number_ended(self, slot: Slot) -> list[MenuStep]:
        digits, self._digits = self._digits, ""
        if not slot.min_length <= len(digits) <= slot.max_length:
            return self._again((self._flow.system.invalid_choice,))
        return self._collected(slot, digits)

    def _choice_of_slot(self, slot: Slot, key: str) -> list[MenuStep]:
        chosen = next((choice for choice in slot.choices if choice.digit == key), None)
        if chosen is None:
            return self._again((self._flow.system.invalid_choice,))
        return self._collected(slot, chosen.value)

    def _collected(self, slot: Slot, value: str) -> list[MenuStep]:
        self._slots[slot.name] = value
        self._slot = None
        self._tries = 0
        following = self._proceed(self._intent) if self._intent else self._offer(())
        return [KeepSlot(slot.name, value), *following]

    def _forget(self, intent: Intent) -> None:
        for name in intent.slots:
            self._slots.pop(name, None)

    # --- Leaving ---

    def _connect(self, opening: tuple[Phrase, ...]) -> list[MenuStep]:
        return self._to_person(opening, (self._flow.system.connecting,))

    def _to_person(self, opening: tuple[Phrase, ...], announced: tuple[Phrase, ...] = ()) -> list[MenuStep]:
        """``announced`` is said only when somebody is there; otherwise the menu goes on, as when nobody was free."""
        if not self._is_open():
            more = self.begin_after_agent((*opening, self._flow.system.closed))
            return [EnterStep("closed"), DropIntent(), *more]
        self.state = State.TO_PERSON
        return [EnterStep("person"), Say((*opening, *announced))]

    def _destination(self) -> str:
        own = self._intent.destination if self._intent else ""
        return own or self._flow.human_destination

    def _goodbye(self) -> list[MenuStep]:
        self.state = State.ENDING
        return [EnterStep("goodbye"), Say((self._flow.system.goodbye,))]


def _say(opening: tuple[Phrase, ...], keys: tuple[Phrase, ...]) -> list[MenuStep]:
    """Two things to say: only who hears the second begin has heard a key named."""
    return [*([Say(opening)] if opening else []), Say(keys, names_keys=True)]
