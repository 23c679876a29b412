"""How a call leaves its bridge while it is up: to a person, to the last resort, to its end, or moved by somebody else.

Owns which of these has happened, and the orders of each. Pure.
"""

from __future__ import annotations

from esl_bridge.calls.orders import HangUp, LeaveToOthers, Order, Record, StopAudio, TransferToAgent, TransferToLastResort
from esl_bridge.calls.ownership import Ownership
from esl_bridge.calls.progress import Progress
from esl_bridge.journal.events import AgentRequested, Mode, StepEntered

# The chain's first act in a visit is to name itself as the holder. By then it has, if it was the chain that moved a call.
LEFT_S = 1.0


class Leaving:
    def __init__(self, ownership: Ownership, progress: Progress) -> None:
        self._ownership = ownership
        self._progress = progress
        self._by_others = False
        self.is_released = False
        """Nothing more is said here; only its end, and who joins it, matter."""
        self.is_in_last_resort = False
        self.is_hanging_up = False
        self.sure_at: float | None = None
        """When a call that somebody moved has left for good, unless the chain was it."""

    def to_person(self, destination: str) -> list[Order]:
        self.is_released = True
        return [
            Record(AgentRequested(destination)),
            Record(StepEntered("person", Mode.AGENT)),
            *self._progress.go_to_person(),
            StopAudio(),
            *self._ownership.disarm(),
            TransferToAgent(destination),
        ]

    def to_last_resort(self, *, has_timer: bool = True) -> list[Order]:
        self.is_released = self.is_in_last_resort = True
        timers = self._ownership.disarm() if has_timer else []
        return [*timers, TransferToLastResort(), Record(StepEntered("last_resort", Mode.LAST_RESORT))]

    def hang_up(self) -> list[Order]:
        self.is_hanging_up = True
        return [*self._ownership.disarm(), HangUp()]

    def taken_elsewhere(self, now: float) -> list[Order]:
        """By an operator, a script or the chain. Not a word more of ours, which would be heard there too, and no timer that takes
        the caller away from it. What plays is not stopped: it may be theirs."""
        self.is_released = self._by_others = True
        self.sure_at = now + LEFT_S
        return self._ownership.let_go()

    def person_joined(self) -> list[Order]:
        """Whoever moved the call has given it to one; of ours it is known where they are."""
        if not self._by_others:
            return []
        self.sure_at = None
        return [
            Record(StepEntered("person", Mode.AGENT)),
            *self._progress.go_to_person(),
            LeaveToOthers(met_person=True),
            StopAudio(),
        ]

    def on_time(self, now: float) -> list[Order]:
        """The switch still names us as the holder: it was not the chain that moved the call, and nobody there asks for our socket.
        Its end would cut whatever the caller hears then, and nothing would follow."""
        if self.sure_at is None or now < self.sure_at:
            return []
        self.sure_at = None
        return [LeaveToOthers()]
