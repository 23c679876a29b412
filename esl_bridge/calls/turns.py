"""The AI turns of one call: begun, heard about, settled. Owns what a turn's end says about the AI and about the queue.

Pure. A turn ends once: understood, not understood, failed, or abandoned (the caller pressed a key or went). While a prompt
that invites speech plays, the gateway *watches* the line under the coming turn's number; the turn itself begins when the
caller speaks over the prompt, or at the prompt's end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ai_engine.messages import (
    Exchange,
    MediaClosed,
    MediaConnected,
    MediaReport,
    SpeechEnded,
    SpeechStarted,
    TurnDone,
    TurnFailed,
    TurnPartial,
    TurnReplying,
    TurnTaken,
)
from callflows.definition.flow import FlowVersion
from esl_bridge.calls import confirming
from esl_bridge.calls.history import HISTORY_LENGTH
from esl_bridge.calls.inputs import AudioFailed, Input, QueueLost
from esl_bridge.calls.listening import Listening, TurnFailure
from esl_bridge.calls.orders import (
    ListenTo,
    Order,
    PublishTurn,
    Record,
    SettleTurn,
    ShowPartial,
    StopListening,
    TurnVerdict,
    WatchFor,
)
from esl_bridge.calls.reply_parts import ReplyParts
from esl_bridge.calls.silence import Silence
from esl_bridge.journal.events import Cause, TurnFinished, TurnOutcome, TurnStarted

# A worker's word for a transcript without words although there was voice (ai_engine.errors.Kind.EMPTY).
NO_WORDS = "empty"
# The stream connects while the greeting plays (milliseconds); a caller who skips it by key still gives it this long.
STREAM_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class DialogueResult:
    """What the dialogue goes on with: a result, or (None) a caller who said nothing."""

    done: TurnDone | None


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller speaks over the prompt: it stops, and the turn begins."""


@dataclass(frozen=True, slots=True)
class FalseBargeIn:
    """What stopped the prompt was no speech: nobody has heard the question to its end, nobody has answered it."""


@dataclass(frozen=True, slots=True)
class Replying:
    """A sentence of the reply is on its way; the turn goes on."""

    intent: str
    confidence: float


News = TurnFailure | Replying | DialogueResult | BargeIn | FalseBargeIn | None


class Turns:
    def __init__(self, flow: FlowVersion | None, *, first_turn: int, history: tuple[Exchange, ...] = ()) -> None:
        self._flow = flow
        self.turn = first_turn
        # Every watching has a number of its own, whether its turn began or not: what is told late of it is then no other's.
        self._number = first_turn
        self._watch_wanted = False
        self._watched = 0
        self._barged_in = False
        self._running: Listening | None = None
        self._gateway_id = ""
        self._stream_failure = ""
        self._waiting: tuple[str, dict[str, str], float] | None = None
        self._history = list(history)
        self.reply = ReplyParts()
        self._failed: TurnFailed | None = None
        self.attempts = 0
        self.just_understood = False
        self.drill = ""
        """Of the turn that has just failed by it."""
        self.silence = Silence()
        """Of the turn that has just failed."""

    @property
    def deadline(self) -> float | None:
        if self._running is not None:
            return self._running.deadline
        return None if self._waiting is None else self._waiting[2]

    @property
    def is_running(self) -> bool:
        return self._running is not None

    @property
    def has_heard_a_voice(self) -> bool:
        """The caller has begun to say something that is not answered yet."""
        return self._barged_in or (self._running is not None and self._running.speech_began_at is not None)

    @property
    def history(self) -> tuple[Exchange, ...]:
        """What was heard and said last, the oldest first; no answer to a sensitive question is in it."""
        return tuple(self._history[-HISTORY_LENGTH:])

    @property
    def _secret(self) -> set[str]:
        """What answers a question for one of these is itself a secret."""
        return set() if self._flow is None else {slot.name for slot in self._flow.slots if slot.sensitive}

    # --- Beginning ---

    def watch(self) -> list[Order]:
        """A prompt plays that the caller may speak over; once the stream is there. Twice does nothing."""
        if self._running is not None or self._waiting is not None or self._watched:
            return []
        self._watch_wanted = True
        if not self._gateway_id:
            return []
        self._number += 1
        self._watched = self._number
        return [WatchFor(self._watched)]

    def sound(self, now: float) -> None:
        """The caller hears something, or has gone."""
        (self.silence if self._running is None else self._running.silence).end(now)

    def heard(self, words: str) -> None:
        """What the caller has heard of what was said to them; nothing else is in the history."""
        if words:
            self._history.append(Exchange("lifeline", words))

    def begin(self, expect: str, slots: Mapping[str, str], now: float) -> tuple[list[Order], TurnFailure | None]:
        if self._stream_failure:
            return [], TurnFailure(Cause.MEDIA, "stream", self._stream_failure)
        if not self._gateway_id:
            self._waiting = (expect, dict(slots), now + STREAM_TIMEOUT_S)
            return [], None
        return self._start(expect, slots, now), None

    def _start(self, expect: str, slots: Mapping[str, str], now: float) -> list[Order]:
        assert self._flow is not None
        self._waiting = None
        if not self._watched:
            self._number += 1
        self.turn = self._watched or self._number
        barged_in, self._barged_in = self._barged_in, False
        self._watched, self._watch_wanted = 0, False
        self.reply.begin(now)
        self.attempts = 0
        self.just_understood = False
        self.drill, self.silence = "", Silence()
        self._failed = None
        self._running = Listening(self.turn, expect, self._flow, now, interrupts=barged_in)
        public = {
            name: value for name, value in slots.items() if (slot := self._flow.slot(name)) is not None and not slot.sensitive
        }
        request = PublishTurn(
            self.turn, expect, self._gateway_id, public, self.history,
            self._flow.listen_limit_ms, self._flow.turn_budget_ms,
        )  # fmt: skip
        begun: list[Order] = [Record(TurnStarted(self.turn, expect)), request]
        # Over a prompt the gateway has begun by itself, with the first words.
        return begun if barged_in else [*begun, ListenTo(self.turn)]

    # --- Hearing ---

    def fails_by(self, event: Input) -> bool:
        """Whether it would be a failure of this call now."""
        match event:
            case MediaClosed() | AudioFailed():
                return True
            case QueueLost(turn=None):
                return self._running is not None
            case QueueLost() | TurnFailed():
                return self._running is not None and event.turn == self._running.turn
            case _:
                return False

    def hear(self, event: Input, now: float) -> tuple[list[Order], News]:
        match event:
            case MediaConnected():
                self._gateway_id = event.gateway_id
                self._stream_failure = ""
                if self._waiting is not None:
                    expect, slots, _ = self._waiting
                    return self._start(expect, slots, now), None
                self._watched = 0
                return (self.watch() if self._watch_wanted else []), None
            case MediaClosed() | AudioFailed():
                return self._stream_lost("closed" if isinstance(event, MediaClosed) else event.kind, now)
            case QueueLost() if self.fails_by(event):
                # Not of a turn that the caller has passed over with a key.
                return self._fail(TurnFailure(Cause.QUEUE, "queue", event.kind), now)
            case SpeechStarted() if self._watched and event.turn == self._watched:
                self._barged_in = True
                return [], BargeIn()
        running = self._running
        if running is None or getattr(event, "turn", None) != running.turn:
            return [], None
        return self._hear_of(running, event, now)

    def _hear_of(self, running: Listening, event: Input, now: float) -> tuple[list[Order], News]:
        match event:
            case MediaReport():
                running.on_report(now)
            case TurnTaken():
                running.on_taken(event.worker_id, event.queue_ms, event.drill)
            case SpeechStarted():
                running.on_speech_began(now)
            case SpeechEnded():
                was_hearing = running.hearing
                running.on_speech_ended(now)
                return ([StopListening(running.turn)] if was_hearing else []), None
            case TurnPartial() if running.expect not in self._secret:
                running.words_shown = True
                return [ShowPartial(event.transcript)], None
            case TurnReplying():
                running.on_answer(now)
                return [], Replying(event.intent, event.confidence) if self.reply.add(event) else None
            case TurnDone():
                return self._done(running, event, now)
            case TurnFailed():
                if running.interrupts and (event.stage, event.kind) == ("stt", NO_WORDS):
                    # A cough is voice without words as well; an engine that is deaf shows at the next turn.
                    return self._end(running, TurnOutcome.NOT_UNDERSTOOD, TurnVerdict.OK, now, event), FalseBargeIn()
                self._failed = event
                self.attempts = event.attempts
                return self._fail(TurnFailure(Cause.AI, event.stage, event.kind), now)
            case _:
                pass
        return [], None

    def on_time(self, now: float) -> tuple[list[Order], News]:
        if self._waiting is not None and now >= self._waiting[2]:
            self._waiting = None
            return [], TurnFailure(Cause.MEDIA, "stream", "not_connected")
        running = self._running
        if running is None or now < running.deadline:
            return [], None
        if running.nothing_said(now):
            orders = self._end(running, TurnOutcome.ABANDONED, TurnVerdict.ABANDONED, now)
            return orders, DialogueResult(None)
        if running.still_speaking(now):
            running.on_speech_ended(now)
            return [StopListening(running.turn)], None
        failure = running.expired(now)
        return ([], None) if failure is None else self._fail(failure, now)

    # --- Ending ---

    def _done(self, running: Listening, done: TurnDone, now: float) -> tuple[list[Order], News]:
        answered = running.expect == confirming.YES_OR_NO and confirming.is_clear(done.transcript)
        understood = done.intent or done.slots or answered
        outcome = TurnOutcome.UNDERSTOOD if understood else TurnOutcome.NOT_UNDERSTOOD
        self.just_understood = True
        if done.transcript and running.expect not in self._secret:
            self._history.append(Exchange("caller", done.transcript))
        is_noise = running.interrupts and not (done.transcript or done.intent or done.slots)
        news = FalseBargeIn() if is_noise else DialogueResult(done)
        return self._end(running, outcome, TurnVerdict.OK, now, done), news

    def _fail(self, failure: TurnFailure, now: float) -> tuple[list[Order], News]:
        running = self._running
        assert running is not None
        # An engine's failure that a worker reports says that queue and workers are well; a lost stream says nothing of them.
        reported = failure.cause is Cause.AI and failure.kind != "deadline"
        unseen = TurnVerdict.ABANDONED if failure.stage == "stream" else TurnVerdict.FAIL
        verdict = TurnVerdict.OK if reported else unseen
        self.silence = running.silence
        if failure.cause in (Cause.AI, Cause.QUEUE):
            self.drill = running.drill
        if running.drill and verdict is TurnVerdict.FAIL:
            verdict = TurnVerdict.ABANDONED  # What a drill keeps waiting says nothing of the queue and the workers.
        return self._end(running, TurnOutcome.FAILED, verdict, now, self._failed, kind=failure.kind), failure

    def _stream_lost(self, kind: str, now: float) -> tuple[list[Order], News]:
        self._gateway_id = ""
        self._watched = 0
        self._stream_failure = kind
        failure = TurnFailure(Cause.MEDIA, "stream", kind)
        if self._running is not None and self._running.hearing:
            return self._fail(failure, now)
        if self._waiting is not None:
            self._waiting = None
            return [], failure
        return [], None

    def _end(
        self, running: Listening, outcome: TurnOutcome, verdict: TurnVerdict, now: float,
        result: TurnDone | TurnFailed | None = None, *, kind: str = "",
    ) -> list[Order]:  # fmt: skip
        self._running = None
        assert self._flow is not None
        secret = self._secret
        finished = TurnFinished(
            turn=running.turn,
            outcome=outcome,
            # What answers a sensitive question is itself sensitive.
            transcript="" if result is None or running.expect in secret else result.transcript,
            intent="" if result is None else result.intent,
            confidence=result.confidence if isinstance(result, TurnDone) else 0.0,
            slots={} if result is None else {name: value for name, value in result.slots.items() if name not in secret},
            stages=() if result is None else result.stages,
            answer_ms=running.answer_ms(now),
            worker_id=running.worker_id,
            queue_ms=running.queue_ms,
            drill=running.drill,
        )
        hush: list[Order] = [StopListening(running.turn)] if running.hearing else []
        if running.words_shown:
            hush.append(ShowPartial(""))
        return [*hush, SettleTurn(running.turn, verdict, kind), Record(finished)]

    def abandon(self, now: float) -> list[Order]:
        """The caller pressed a key, or the call moved on: what this turn brings is not wanted any more."""
        self._waiting = None
        self._watch_wanted = False
        watched, self._watched = self._watched, 0
        if self._running is None:
            return [StopListening(watched)] if watched else []
        return self._end(self._running, TurnOutcome.ABANDONED, TurnVerdict.ABANDONED, now)

    def stop_hearing(self, now: float) -> tuple[list[Order], bool]:
        """The caller cannot be heard for a while, by nobody's fault. Whether a question of ours was open; what they have already
        said is answered all the same."""
        running = self._running
        (self.silence if running is None else running.silence).put_on_hold()
        if running is not None and not running.hearing:
            return [], False
        is_open = running is not None or self._waiting is not None
        return self.abandon(now), is_open

    def forget(self) -> list[Order]:
        """The call is over for us; nothing can be sent on it any more."""
        self._waiting = None
        running, self._running = self._running, None
        return [] if running is None else [SettleTurn(running.turn, TurnVerdict.ABANDONED)]

    def take_failed(self) -> TurnFailed | None:
        """How the worker told of the turn that has just failed, if it did; once."""
        failed, self._failed = self._failed, None
        self.just_understood = self.just_understood or failed is not None
        return failed
