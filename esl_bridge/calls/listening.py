"""One turn as the bridge sees it: what has been heard from whom, and when its patience ends.

Owns every deadline of a turn, by the monotonic clock passed in. Pure. Whoever stays silent fails: the gateway (no frames
reported), the workers (nobody takes the turn), the engines (no result within the budget after the end of speech).
"""

from __future__ import annotations

from dataclasses import dataclass

from callflows.definition.flow import FlowVersion
from esl_bridge.calls.silence import Silence
from esl_bridge.journal.events import Cause

# The gateway reports every 250 ms; six missed reports are no jitter.
MEDIA_SILENCE_S = 1.5
# A worker claims within one blocking read (50 ms); a lease of a dead worker is taken over after 1 s.
TAKEN_WITHIN_S = 3.0
# The listening limit is for beginning to speak. Who has begun is let finish, but a line whose noise sounds like speech for
# ever must not keep its caller from the menu.
LONGEST_SPEECH_S = 6.0


@dataclass(frozen=True, slots=True)
class TurnFailure:
    cause: Cause
    stage: str
    kind: str


class Listening:
    """The turn that runs. ``expect`` is ``intent`` or a slot's name."""

    def __init__(self, turn: int, expect: str, flow: FlowVersion, now: float, *, interrupts: bool = False) -> None:
        self.turn = turn
        self.expect = expect
        # It began because the gateway heard a voice over a prompt; that may have been a cough.
        self.interrupts = interrupts
        self.began_at = now
        self.taken = False
        self.worker_id = ""
        self.drill = ""
        self.queue_ms: float | None = None
        self.speech_began_at: float | None = None
        self.speech_ended_at: float | None = None
        self.silence = Silence()
        self.answered_at: float | None = None
        self.hearing = True
        self.words_shown = False
        self._listen_s = flow.listen_limit_ms / 1000
        self._budget_s = flow.turn_budget_ms / 1000
        self._reported_at = now
        if interrupts:
            self.on_speech_began(now)

    def on_report(self, now: float) -> None:
        self._reported_at = now

    def on_taken(self, worker_id: str, queue_ms: float, drill: str = "") -> None:
        """Whoever takes it over from a dead worker waited for that one, not in the queue: the first wait counts."""
        self.taken = True
        self.worker_id = worker_id
        self.drill = drill
        if self.queue_ms is None:
            self.queue_ms = queue_ms

    def on_speech_began(self, now: float) -> None:
        if self.speech_began_at is None:
            self.speech_began_at = now

    def on_speech_ended(self, now: float) -> None:
        """The earlier of the engine's final and our own voice activity; later words of it change nothing."""
        if self.speech_ended_at is None:
            self.on_speech_began(now)
            self.speech_ended_at = now
            self.silence.begin(now)
            self.hearing = False

    @property
    def deadline(self) -> float:
        """When :meth:`expired` may have something to say."""
        moments = [self._listening_until]
        if self.hearing:
            moments.append(self._reported_at + MEDIA_SILENCE_S)
        if not self.taken:
            moments.append(self.began_at + TAKEN_WITHIN_S)
        if self.speech_ended_at is not None:
            moments[0] = self.speech_ended_at + self._budget_s
        return min(moments)

    @property
    def _listening_until(self) -> float:
        limit = self.began_at + self._listen_s
        return limit if self.speech_began_at is None else max(limit, self.speech_began_at + LONGEST_SPEECH_S)

    def expired(self, now: float) -> TurnFailure | None:
        if not self.taken and now >= self.began_at + TAKEN_WITHIN_S:
            return TurnFailure(Cause.QUEUE, "queue", "not_taken")
        if self.hearing and now >= self._reported_at + MEDIA_SILENCE_S:
            return TurnFailure(Cause.MEDIA, "gateway", "no_frames")
        if self.speech_ended_at is not None and now >= self.speech_ended_at + self._budget_s:
            return TurnFailure(Cause.AI, "turn", "deadline")
        return None

    def nothing_said(self, now: float) -> bool:
        """The listening limit has passed without a word of the caller's."""
        return self.speech_began_at is None and now >= self._listening_until

    def still_speaking(self, now: float) -> bool:
        """Both limits have passed and the caller speaks on: their turn is cut here, and the budget runs."""
        return self.speech_began_at is not None and self.speech_ended_at is None and now >= self._listening_until

    def on_answer(self, now: float) -> None:
        """The first sentence of the reply is there."""
        if self.answered_at is None:
            self.answered_at = now

    def answer_ms(self, now: float) -> float | None:
        """From the end of speech to the first sentence of the reply, or to the result (``now``) when it has none."""
        answered_at = now if self.answered_at is None else self.answered_at
        return None if self.speech_ended_at is None else max(0.0, answered_at - self.speech_ended_at) * 1000
