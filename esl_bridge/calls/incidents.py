"""The incidents of one call, and the one rule by which each ends.

Owns: at most one incident is open at a time (a second failure on the way to the menu belongs to the first).
``recovered`` when the resume succeeded after all; ``failed_over`` once the caller demonstrably heard the keys named,
pressed one in the menu, or was joined to a person; ``dropped`` when the call ended before. Pure.
"""

from __future__ import annotations

from esl_bridge.calls.listening import TurnFailure
from esl_bridge.calls.orders import Order, Record, SetVariables
from esl_bridge.calls.silence import Silence
from esl_bridge.calls.speaker import Heard
from esl_bridge.journal.events import Cause, IncidentClosed, IncidentOpened, Outcome

OPEN_VARIABLE = "incident"


class Incidents:
    """``open_id`` is empty when nothing is unsettled. The open one's id is kept on the switch, for the next owner."""

    def __init__(self, call_uuid: str, epoch: int, inherited: str = "") -> None:
        self._prefix = f"{call_uuid}:{epoch}"
        self._count = 0
        self.open_id = inherited
        self._resuming = False
        self._silence = Silence()

    def open(
        self, failure: TurnFailure, *, attempts: int, turn: int, drill: str = "", silence: Silence | None = None
    ) -> list[Order]:
        """``silence``: of the turn that failed, after its caller had spoken; it may still last."""
        if self.open_id:
            return []
        self._count += 1
        self.open_id = f"{self._prefix}:{self._count}"
        self._resuming = failure.cause is Cause.BRIDGE
        self._silence = silence or Silence()
        event = IncidentOpened(self.open_id, failure.cause, failure.stage, failure.kind, attempts, turn, drill)
        return [Record(event), SetVariables({OPEN_VARIABLE: self.open_id})]

    def goes_on_as_before(self) -> None:
        """The call is resumed where it was: the first word ends its incident, also one that an owner before us left open.
        (In the menu it takes more, until goodbye: the inherited one may be the AI's, and the keys have not been heard.)"""
        self._resuming = bool(self.open_id)

    def goes_to_menu(self) -> None:
        """Whatever was being resumed was not: from here on only the keys, or a person, end it well."""
        self._resuming = False

    def on_heard(self, heard: Heard, proof: str, *, in_menu: bool) -> list[Order]:
        """The caller hears something: a resume has succeeded with the first word, a failover with the keys named."""
        if heard is Heard.NOTHING or not self.open_id:
            return []
        if self._resuming:
            return self.close(Outcome.RECOVERED, proof)
        return self.close(Outcome.FAILED_OVER, proof) if in_menu and heard is Heard.KEYS else []

    def close(self, outcome: Outcome, proof: str, *, call_is_up: bool = True) -> list[Order]:
        if not self.open_id:
            return []
        closed = Record(IncidentClosed(self.open_id, outcome, proof, self._silence.ms))
        self.open_id = ""
        self._resuming = False
        return [closed, SetVariables({OPEN_VARIABLE: ""})] if call_is_up else [closed]
