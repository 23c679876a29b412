"""The conversation with AI: what to ask, what follows from what was understood, when to leave it to the keypad.

Owns the AI side's decisions, in the same steps as the keypad menu (``ivr_fallback.steps``) and a few of its own. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ai_engine.messages import TurnDone
from callflows.definition.certainty import acts_at_once, is_sure
from callflows.definition.flow import FlowVersion, Intent, Phrase, Policy, Slot, SlotKind
from esl_bridge.calls import confirming
from esl_bridge.calls.confirming import Answer, Doubt
from esl_bridge.calls.slots import fits
from ivr_fallback.menu import DIGIT_TIMEOUT_MS, END_KEY, MENU_KEY, PERSON_KEY
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
    ToPerson,
)

# Twice misunderstood is bad luck, three times is a caller whom the keypad serves better.
MAX_TRIES = 3
# A guess that was wrong is followed by one more question, a second wrong guess by the keypad.
MAX_DENIALS = 2
INTENT = "intent"
FAREWELLS = {"no", "no thanks", "no thank you", "goodbye", "bye", "that is all", "that's all", "nothing else", "nothing"}


@dataclass(frozen=True, slots=True)
class Listen:
    """Let the caller speak; ``expect`` is ``intent``, a slot's name or ``yes_or_no``."""

    expect: str


@dataclass(frozen=True, slots=True)
class HearReply:
    """Play the turn's own reply, before what follows."""


@dataclass(frozen=True, slots=True)
class UseMenu:
    """The keypad serves this caller better: they were not understood, or asked for it."""

    why: str


DialogueStep = MenuStep | Listen | HearReply | UseMenu


class State(StrEnum):
    ASKING = "asking"
    MORE = "more"
    KEYING = "keying"
    CONFIRMING = "confirming"
    ACTING = "acting"
    TELLING = "telling"
    TO_PERSON = "to_person"
    ENDING = "ending"


class Dialogue:
    """One caller talking to AI. ``is_open`` says whether people can be reached at this moment."""

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
        self._refused = 0
        # Numbers heard by voice that the caller has not confirmed: never acted on, nor given to the menu.
        self._unconfirmed: dict[str, str] = {}
        self._doubt: Doubt | None = None
        self._denials = 0
        self.state = State.ASKING

    @property
    def doubted(self) -> str:
        """The intent that the caller is asked to confirm, or nothing."""
        doubt = self._doubt if self.state is State.CONFIRMING else None
        return "" if doubt is None or doubt.slot is not None or doubt.intent is None else doubt.intent.name

    def begin(self) -> list[DialogueStep]:
        return [EnterStep("greeting"), Say(self._flow.greeting(is_open=self._is_open()))]

    def resume(self, step: str) -> list[DialogueStep]:
        """Go on where another bridge left the caller; never at the greeting."""
        match step:
            case "goodbye":
                return self._goodbye()
            case "person":
                return self._connect()
            case "anything_else":
                return self._anything_else()
        return self._ask_again() if self._intent is None else self._proceed(self._intent, ())

    @property
    def invites_speech(self) -> bool:
        """What is being said is a question: when it has been said, or spoken over, ``on_said`` listens."""
        return self.state in (State.ASKING, State.MORE, State.CONFIRMING)

    @property
    def is_leaving(self) -> bool:
        """The caller wants nothing more; only the goodbye is left."""
        return self.state is State.ENDING

    def on_said(self) -> list[DialogueStep]:
        match self.state:
            case State.ASKING | State.MORE:
                return [EnterStep(self._listening_step()), Listen(self._slot.name if self._slot else INTENT)]
            case State.CONFIRMING:
                return [Listen(confirming.YES_OR_NO)]
            case State.KEYING:
                return [AwaitKey(DIGIT_TIMEOUT_MS)]
            case State.TELLING:
                served = [Served(self._intent.name)] if self._intent else []
                return [*served, *self._anything_else()]
            case State.TO_PERSON:
                return [ToPerson(self._destination())]
            case State.ENDING:
                return [End()]
            case State.ACTING:
                return []

    def on_understood(self, done: TurnDone) -> list[DialogueStep]:
        """A turn's result: only the flow's own names count; what is not asked for is kept, never acted on."""
        if self.state is State.CONFIRMING and self._doubt is not None:
            return self._answered(self._doubt, done)
        kept = self._keep(done.slots)
        if self._slot is not None:
            if self._slot.name not in self._slots and self._slot.name not in self._unconfirmed:
                return [*kept, *self._not_understood()]
            self._slot = None
            return [*kept, *self._go_on()]
        intent = self._flow.intent(done.intent)
        if intent is None:
            if self.state is State.MORE and (not done.transcript or _is_farewell(done.transcript)):
                return self._goodbye()
            return [*kept, *self._not_understood()]
        if not acts_at_once(self._flow, intent, done.confidence):
            return [*kept, *self._confirm(Doubt(intent))]
        reply: list[DialogueStep] = [HearReply()] if done.reply_audio and not self._is_closed_for(intent) else []
        return [*kept, *self._choose(intent, reply)]

    def acts_on(self, intent: str, confidence: float) -> bool:
        """Whether the turn's reply is to be heard as it comes: the result that follows will be acted on."""
        wanted = self._flow.intent(intent)
        if wanted is None or self._slot is not None or self.state not in (State.ASKING, State.MORE):
            return False
        return acts_at_once(self._flow, wanted, confidence) and not self._is_closed_for(wanted)

    def on_nothing_said(self) -> list[DialogueStep]:
        if self.state is State.MORE:
            return self._goodbye()
        if self.state is State.CONFIRMING and self._doubt is not None:
            return self._unclear(self._doubt)
        return self._not_understood()

    def on_key(self, key: str) -> list[DialogueStep]:
        if self.state in (State.TO_PERSON, State.ACTING):
            return []
        if self.state is State.CONFIRMING and self._doubt is not None:
            return self._keyed_answer(self._doubt, key)
        if self._slot is not None and self._slot.kind is SlotKind.DIGITS and (key.isdecimal() or key == END_KEY):
            return self._digit(self._slot, key)
        if key == MENU_KEY:
            return [UseMenu("caller_choice")]
        if self._slot is not None:
            return self._choice(self._slot, key)
        if key == PERSON_KEY:
            return self._connect()
        intent = self._flow.intent_for_digit(key)
        if intent is None or self.state is State.TELLING:
            return []
        return self._choose(intent, [])

    def on_silence(self) -> list[DialogueStep]:
        """No further digit came."""
        if self.state is State.KEYING and self._slot is not None:
            return self._number_ended(self._slot)
        return []

    def on_action(self, outcome: str, values: ActionValues) -> list[DialogueStep]:
        intent = self._intent
        phrases = None if intent is None else outcome_phrases(self._flow, intent, outcome, values)
        if intent is None or phrases is None:
            return self.on_action_failed()
        if outcome.startswith("unknown_"):
            self._refused += 1
            for name in intent.slots:
                self._slots.pop(name, None)
            if self._refused >= MAX_TRIES:
                return [ForgetSlots(intent.slots), *self._to_person(phrases)]
            return [ForgetSlots(intent.slots), *self._proceed(intent, phrases)]
        self.state = State.TELLING
        return [EnterStep(f"outcome:{intent.name}"), Say(phrases)]

    def on_action_failed(self) -> list[DialogueStep]:
        return self._to_person((self._flow.system.action_failed,))

    # --- What follows ---

    def _proceed(self, intent: Intent, opening: tuple[Phrase, ...]) -> list[DialogueStep]:
        self._doubt = None
        if intent.policy is Policy.HUMAN:
            return self._connect()
        for name in intent.slots:
            slot = self._flow.slot(name)
            if slot is not None and name not in self._slots:
                if name in self._unconfirmed:
                    doubt = Doubt(intent, slot, self._unconfirmed.pop(name))
                    return [EnterStep(f"slot:{name}"), *self._confirm(doubt, opening)]
                self._slot = slot
                self._digits = ""
                self.state = State.ASKING
                return [EnterStep(f"slot:{name}"), Say((*opening, slot.ask))]
        self.state = State.ACTING
        return [EnterStep(f"action:{intent.name}"), Act(intent.name, {name: self._slots[name] for name in intent.slots})]

    def _keep(self, heard: Mapping[str, str]) -> list[DialogueStep]:
        """Values that the flow asks for and that are in its form; anything else a model returns is left out."""
        kept: list[DialogueStep] = []
        for name, value in heard.items():
            slot = self._flow.slot(name)
            if slot is None or not fits(slot, value) or self._slots.get(name) == value:
                continue
            if confirming.is_read_back(self._flow, slot):
                self._unconfirmed[name] = value
                if self._slots.pop(name, None):
                    kept.append(ForgetSlots((name,)))  # What was said last counts, once it is confirmed.
            else:
                self._slots[name] = value
                kept.append(KeepSlot(name, value))
        return kept

    def _choose(self, intent: Intent, reply: list[DialogueStep]) -> list[DialogueStep]:
        self._tries = 0
        self._denials = 0
        self._intent = intent
        return [ChooseIntent(intent.name), *reply, *self._proceed(intent, ())]

    def _go_on(self) -> list[DialogueStep]:
        """A value is there: to the next one, or to what the caller wants."""
        self._tries = 0
        return self._proceed(self._intent, ()) if self._intent else self._ask_again()

    # --- Confirming ---

    def _confirm(self, doubt: Doubt, opening: tuple[Phrase, ...] = ()) -> list[DialogueStep]:
        self.state = State.CONFIRMING
        self._doubt = doubt
        step: list[DialogueStep] = [] if doubt.slot else [EnterStep("confirming")]
        return [*step, Say((*opening, *confirming.question(self._flow, doubt)))]

    def _answered(self, doubt: Doubt, done: TurnDone) -> list[DialogueStep]:
        """Yes or no, or the right thing said at once instead of it."""
        answer = confirming.read_answer(done.transcript)
        if answer is Answer.YES:
            return self._confirmed(doubt)
        kept = self._keep(done.slots)
        if doubt.slot is not None and (value := self._unconfirmed.pop(doubt.slot.name, "")) not in ("", doubt.value):
            return [*kept, *self._denied(doubt, Doubt(doubt.intent, doubt.slot, value))]
        other = self._flow.intent(done.intent)
        if doubt.slot is None and other is not None and other is not doubt.intent:
            if is_sure(other, done.confidence):
                return [*kept, *self._choose(other, [])]
            return [*kept, *self._denied(doubt, Doubt(other))]
        return [*kept, *(self._denied(doubt) if answer is Answer.NO else self._unclear(doubt))]

    def _keyed_answer(self, doubt: Doubt, key: str) -> list[DialogueStep]:
        match confirming.keyed_answer(key):
            case Answer.YES:
                return self._confirmed(doubt)
            case Answer.NO:
                return self._denied(doubt)
        if key == MENU_KEY:
            return [UseMenu("caller_choice")]
        if key == PERSON_KEY:
            return self._connect()
        if doubt.slot is not None and key.isdecimal():
            # Who heard a wrong digit types the number without being asked.
            self._doubt, self._slot, self._digits = None, doubt.slot, ""
            return self._digit(doubt.slot, key)
        return []

    def _confirmed(self, doubt: Doubt) -> list[DialogueStep]:
        self._doubt = None
        self._denials = 0
        if doubt.slot is not None:
            self._slots[doubt.slot.name] = doubt.value
            return [KeepSlot(doubt.slot.name, doubt.value, by_voice=True), *self._go_on()]
        return self._ask_again() if doubt.intent is None else self._choose(doubt.intent, [])

    def _denied(self, doubt: Doubt, instead: Doubt | None = None) -> list[DialogueStep]:
        """What was understood is wrong. ``instead``: what the caller said in its place, as unsure as that."""
        self._denials += 1
        if self._denials >= MAX_DENIALS:
            self._doubt = None
            return [UseMenu("not_understood")]
        if instead is not None:
            return self._confirm(instead)
        self._doubt = None
        self.state = State.ASKING
        self._slot = doubt.slot
        if doubt.slot is None:
            return self._ask_again()
        return [Say((self._flow.system.not_understood, doubt.slot.ask))]

    def _unclear(self, doubt: Doubt) -> list[DialogueStep]:
        self._tries += 1
        return [UseMenu("not_understood")] if self._tries >= MAX_DENIALS else self._confirm(doubt)

    def _not_understood(self) -> list[DialogueStep]:
        self._tries += 1
        if self._tries >= MAX_TRIES:
            return [UseMenu("not_understood")]
        if self._slot is not None:
            self.state = State.ASKING
            # The second time the keys are offered as well; both are taken.
            ask = self._slot.ask_keypad if self._tries > 1 else self._slot.ask
            return [Say((self._flow.system.not_understood, ask))]
        return self._ask_again()

    def _ask_again(self) -> list[DialogueStep]:
        self.state = State.ASKING
        self._slot = None
        return [Say((self._flow.system.not_understood,))]

    def _anything_else(self, opening: tuple[Phrase, ...] = ()) -> list[DialogueStep]:
        self.state = State.MORE
        self._intent = None
        self._tries = 0
        return [EnterStep("anything_else"), Say((*opening, self._flow.system.anything_else))]

    def _listening_step(self) -> str:
        if self._slot is not None:
            return f"slot:{self._slot.name}"
        return "anything_else" if self.state is State.MORE else "listening"

    def _digit(self, slot: Slot, key: str) -> list[DialogueStep]:
        self.state = State.KEYING
        if key == END_KEY:
            return self._number_ended(slot)
        self._digits += key
        return self._number_ended(slot) if len(self._digits) >= slot.max_length else [AwaitKey(DIGIT_TIMEOUT_MS)]

    def _number_ended(self, slot: Slot) -> list[DialogueStep]:
        digits, self._digits = self._digits, ""
        return self._keyed(slot, digits) if fits(slot, digits) else self._not_understood()

    def _choice(self, slot: Slot, key: str) -> list[DialogueStep]:
        """A key that names none of them changes nothing: the caller may still say it."""
        chosen = next((choice for choice in slot.choices if choice.digit == key), None)
        return [] if chosen is None else self._keyed(slot, chosen.value)

    def _keyed(self, slot: Slot, value: str) -> list[DialogueStep]:
        self._slots[slot.name] = value
        self._unconfirmed.pop(slot.name, None)
        self._slot = None
        return [KeepSlot(slot.name, value), *self._go_on()]

    def _is_closed_for(self, intent: Intent) -> bool:
        """It leads to a person, and none can be reached: the model's own words about it would promise one."""
        return intent.policy is Policy.HUMAN and not self._is_open()

    def _connect(self) -> list[DialogueStep]:
        return self._to_person((), (self._flow.system.connecting,))

    def _to_person(self, opening: tuple[Phrase, ...], announced: tuple[Phrase, ...] = ()) -> list[DialogueStep]:
        """``announced`` is said only when somebody is there; otherwise the AI goes on with whatever else there is."""
        if not self._is_open():
            self._slot, self._doubt = None, None
            return [EnterStep("closed"), DropIntent(), *self._anything_else((*opening, self._flow.system.closed))]
        self.state = State.TO_PERSON
        return [EnterStep("person"), Say((*opening, *announced))]

    def _destination(self) -> str:
        own = self._intent.destination if self._intent else ""
        return own or self._flow.human_destination

    def _goodbye(self) -> list[DialogueStep]:
        self.state = State.ENDING
        return [EnterStep("goodbye"), Say((self._flow.system.goodbye,))]


def _is_farewell(transcript: str) -> bool:
    return transcript.strip().lower().rstrip(".!") in FAREWELLS
