"""How far one call has come, and what of it the switch keeps for the bridge that resumes it.

Owns the mode, the wish, what was collected and the turns' history, each with the variables that hold it. What is said or done
about it is not decided here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from ai_engine.messages import Exchange
from callflows.definition.flow import Slot
from callflows.definition.kept import SLOT_BYTES, SLOT_PREFIX, kept_bytes
from esl_bridge.calls.actions_taken import ActionsTaken
from esl_bridge.calls.history import pack
from esl_bridge.calls.orders import KeepHistory, Order, Record, SetVariables
from esl_bridge.journal.events import Mode, SlotCollected, StepEntered
from esl_bridge.protocol.commands import safe_value

AFTER_AGENT = "after_agent"


class Progress:
    """``kept`` and ``history``: what an owner before had the switch keep."""

    def __init__(self, kept: Mapping[str, str], history: tuple[Exchange, ...], actions: ActionsTaken) -> None:
        self.mode = Mode.AI
        self.intent = kept.get("intent", "")
        self.slots = {name.removeprefix(SLOT_PREFIX): value for name, value in kept.items() if name.startswith(SLOT_PREFIX)}
        self._bytes = {name: kept_bytes(SLOT_PREFIX + name, value) for name, value in self.slots.items()}
        self.history = history
        self.actions = actions

    def enter(self, step: str) -> list[Order]:
        return [Record(StepEntered(step, self.mode)), SetVariables({"step": step, "mode": self.mode.value})]

    def choose(self, intent: str) -> list[Order]:
        self.intent = intent
        visit = self.actions.new_visit()
        return [SetVariables({"intent": intent, "visit": visit, **self.actions.settled()})]

    def end_wish(self) -> list[Order]:
        """It is served, or dropped."""
        self.intent = ""
        return [SetVariables({"intent": "", **self.actions.settled()})]

    def keep(self, name: str, value: str, slot: Slot | None, *, by_voice: bool) -> list[Order]:
        """A sensitive value is this bridge's alone, and in no record."""
        self.slots[name] = value
        by = "voice" if by_voice else "keypad"
        if slot is None or slot.sensitive:
            return [Record(SlotCollected(name, "", by))]
        return [Record(SlotCollected(name, value, by)), SetVariables({SLOT_PREFIX + name: self._room_for(name, value)})]

    def forget(self, names: tuple[str, ...]) -> list[Order]:
        for name in names:
            self.slots.pop(name, None)
            self._bytes.pop(name, None)
        visit = self.actions.new_visit()
        forgotten = {SLOT_PREFIX + name: "" for name in names}
        return [SetVariables({**forgotten, "visit": visit, **self.actions.settled()})]

    def go_to_menu(self) -> list[Order]:
        self.mode = Mode.FALLBACK
        return [SetVariables({"mode": self.mode.value, "intent": self.intent})]

    def go_to_person(self) -> list[Order]:
        """Who comes back from there begins anew."""
        self.mode = Mode.AGENT
        self.intent = ""
        return [SetVariables({"step": AFTER_AGENT, "intent": "", **self.actions.settled()})]

    def keep_history(self, history: tuple[Exchange, ...]) -> list[Order]:
        """The menu has no use for it, and a call that has fallen over stays there."""
        history = history if self.mode is Mode.AI else ()
        if history == self.history:
            return []
        self.history = history
        return [KeepHistory(pack(history))]

    def _room_for(self, name: str, value: str) -> str:
        """Its value, as the switch may keep it. A published flow's slots all fit; what does not is unset, never an old value."""
        self._bytes.pop(name, None)
        needs = kept_bytes(SLOT_PREFIX + name, value)
        if not safe_value(value) or sum(self._bytes.values()) + needs > SLOT_BYTES:
            return ""
        self._bytes[name] = needs
        return value
