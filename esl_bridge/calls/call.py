"""One live call, decided: ``handle(input, now) -> orders``. The same function runs under the socket and in every test.

Owns how a call begins, whose it is, and how it ends. Pure: no clock, socket or identifier of its own. What is said while it is
here is in ``talk.py``, how it goes elsewhere in ``leaving.py``, what is kept of it in ``progress.py``.
"""

from __future__ import annotations

from callflows.definition.flow import FlowVersion
from esl_bridge.calls import inputs as told
from esl_bridge.calls.actions_taken import ACTION_KEY, ActionsTaken
from esl_bridge.calls.ask_next import NEXT_VARIABLE
from esl_bridge.calls.incidents import OPEN_VARIABLE, Incidents
from esl_bridge.calls.leaving import Leaving
from esl_bridge.calls.listening import TurnFailure
from esl_bridge.calls.orders import AnswerCall, Order, Record, SetVariables
from esl_bridge.calls.ownership import Ownership, epoch_of
from esl_bridge.calls.progress import AFTER_AGENT, Progress
from esl_bridge.calls.talk import Talk
from esl_bridge.journal.events import AgentJoined, CallEnded, CallStarted, Cause, Outcome

# Of `ll_simulated`. A channel variable, which no caller can set: only a dialplan, or who placed the call.
SIMULATED = "true"
# A busy loop is late by tens of milliseconds. One that is later than this stood still (stopped, starved), and what was said
# to it meanwhile waits unread: no deadline is past before that has been read.
LATE_S = 0.3
# Long enough for a round through Redis and for the gateway's next report (every 250 ms); no caller notices it.
CATCH_UP_S = 0.3


class Call:
    """A call of one owner. ``epoch`` rises with each owner; orders of an older one are mute from :class:`OwnerChanged` on."""

    def __init__(self, bridge_id: str) -> None:
        self._bridge_id = bridge_id
        self._talk: Talk | None = None
        self._well = False
        self._catching_up_until = 0.0
        self._hung_up = False
        self.ended = False
        self.simulated = False
        """No customer is on the line: the simulator, or an operator's test call, set ``ll_simulated`` on the channel."""
        self.epoch = 0
        self.owner = ""
        self.answer_id = ""
        """The UUID that our ``answer`` goes out with."""

    # --- From outside ---

    def handle(self, event: told.Input, now: float) -> list[Order]:
        """Everything that follows from ``event``. After the end, or when another owns the call, nothing does."""
        orders = self._decide(event, now)
        if self._talk is None or self.ended or self._leaving.is_released:
            return orders
        return [*orders, *self._progress.keep_history(self._talk.history)]

    def _decide(self, event: told.Input, now: float) -> list[Order]:
        if isinstance(event, told.Connected):
            return self._connected(event, now)
        if self.ended or not self.owner:
            return self._after_all(event, now)
        if isinstance(event, told.End):
            return self._leave(event, now)
        if isinstance(event, told.AgentBridged):
            joined = [Record(AgentJoined()), *self._incidents.close(Outcome.FAILED_OVER, "CHANNEL_BRIDGE")]
            return [*joined, *self._leaving.person_joined()]
        if isinstance(event, told.TimerArmed):
            return self._ownership.on_armed(event.task_id)
        if self._leaving.is_in_last_resort and isinstance(event, told.PlaybackStarted) and not self._has_sent(event.file):
            return self._incidents.close(Outcome.FAILED_OVER, f"PLAYBACK_START {event.file}")
        if self._leaving.is_released or self._talk is None:
            return self._leaving.on_time(now) if isinstance(event, told.TimePassed) else self._after_all(event, now)
        if isinstance(event, told.TakenElsewhere):
            return [*self._leaving.taken_elsewhere(now), *self._talk.abandon(now)]
        return self._time(self._talk, now) if isinstance(event, told.TimePassed) else self._talk.handle(event, now)

    def wake_at(self) -> float | None:
        """When :class:`TimePassed` should come, if nothing else does before."""
        if self.ended or not self.owner:
            return None
        if self._leaving.is_released or self._talk is None:
            return self._leaving.sure_at
        deadline = self._talk.deadline
        patient = None if deadline is None else max(deadline, self._catching_up_until)
        return min((moment for moment in (patient, self._ownership.due) if moment is not None), default=None)

    def in_doubt(self, now: float) -> bool:
        """Whether the switch must be asked who owns the call before anything is decided: its timer may have fired."""
        return bool(self.owner) and not self.ended and self._ownership.in_doubt(now)

    def in_question(self, event: told.Input) -> bool:
        """Whether this is a failure, or an end that nobody ordered: in a call that is over, or another's, it is neither."""
        if self.ended or not self.owner:
            return False
        if self._leaving.is_released or self._talk is None:
            return isinstance(event, told.TimePassed) and self._leaving.sure_at is not None
        return isinstance(event, told.TakenElsewhere) or self._talk.fails_by(event)

    def faulted(self) -> list[Order]:
        """After an error of ours: the dialplan's own menu takes the caller, unless an agent has them. Only the end matters then."""
        if self.ended or not self.owner or self._leaving.is_released or self._talk is None:
            return []
        failure = TurnFailure(Cause.BRIDGE, "bridge", "fault")
        opened = self._incidents.open(failure, attempts=1, turn=self._talk.turn)
        return [*self._leaving.to_last_resort(), *self._talk.forget(), *opened]

    def owner_confirmed(self, now: float) -> list[Order]:
        """The switch still names us: first of all, the timer."""
        return self._ownership.confirmed(now)

    @property
    def last_word(self) -> dict[str, str]:
        """What the switch will know of us as the owner, once it has read all that it was sent: the variables' names, unprefixed."""
        return {"owner": self.owner, OPEN_VARIABLE: self._incidents.open_id} if self.owner else {}

    @property
    def is_held(self) -> bool:
        """Their telephone has us on hold, as far as is known, and nothing is said to them."""
        return self._talk is not None and not self.ended and not self._leaving.is_released and self._talk.is_held

    def denied(self, now: float) -> None:
        """The switch knows no such call any more. If we were well until here, no stall of ours is to blame for its end, which
        may be told seconds later: a switch writes its call records first."""
        if not self.in_doubt(now):
            self._ownership.over()

    # --- Beginning ---

    def _connected(self, event: told.Connected, now: float) -> list[Order]:
        kept = event.kept
        self.epoch = epoch_of(kept.get("owner", "")) + 1
        self.owner = f"{self._bridge_id}:{self.epoch}"
        self.answer_id = f"00000000-{self.epoch:04x}-{event.call_uuid}"
        self.simulated = kept.get("simulated") == SIMULATED
        actions = ActionsTaken(event.call_uuid, kept.get("visit", ""), kept.get(ACTION_KEY, ""))
        self._progress = Progress(kept, event.history, actions)
        self._ownership = Ownership(event.call_uuid)
        self._incidents = Incidents(event.call_uuid, self.epoch, kept.get(OPEN_VARIABLE, ""))
        self._leaving = Leaving(self._ownership, self._progress)
        if event.flow is None:
            return self._without_flow(event)
        self.flow: FlowVersion = event.flow
        self._talk = talk = Talk(
            event, event.flow, bridge_id=self._bridge_id, epoch=self.epoch, now=now,
            progress=self._progress, incidents=self._incidents, leaving=self._leaving,
        )  # fmt: skip
        kept_flow = f"{event.flow.slug}:{event.flow.number}"
        mine = {"owner": self.owner, "holder": self.owner, "flow": kept_flow, "lang": event.flow.language}
        if event.ask_next or NEXT_VARIABLE in kept:  # or the order of an owner who was reached by another way would stay
            mine |= {NEXT_VARIABLE: event.ask_next}
        orders: list[Order] = [self._started(event), SetVariables(mine)]
        orders += self._ownership.take(now, from_another=self.epoch > 1)
        if not event.answered:
            orders.append(AnswerCall())
        if kept.get("step") == AFTER_AGENT:
            # Also in a call that no bridge has had before: the last resort gave its caller to the person.
            return orders + talk.resume_after_person(event.agent_disposition, now)
        return orders + (talk.resume(kept, now) if self.epoch > 1 else talk.begin(now))

    def _without_flow(self, event: told.Connected) -> list[Order]:
        """No published flow takes this number: the last resort is better than silence."""
        lost = TurnFailure(Cause.BRIDGE, "bridge", "resumed")
        return [
            self._started(event),
            SetVariables({"owner": self.owner, "holder": self.owner}),
            *(self._incidents.open(lost, attempts=1, turn=0) if self.epoch > 1 else []),
            *self._leaving.to_last_resort(has_timer=False),
        ]

    def _started(self, event: told.Connected) -> Record:
        slug, number, language = ("", 0, "") if event.flow is None else (event.flow.slug, event.flow.number, event.flow.language)
        started = CallStarted(
            event.caller, event.destination, slug, number, language, self._bridge_id,
            resumed=self.epoch > 1, simulated=self.simulated,
        )  # fmt: skip
        return Record(started)

    # --- While it lives ---

    def _time(self, talk: Talk, now: float) -> list[Order]:
        due = self.wake_at()
        # Once for what is due: a loop that is late all the time would put off the end of every waiting for ever.
        if due is not None and now - due > LATE_S and due > self._catching_up_until:
            self._catching_up_until = now + CATCH_UP_S
        orders = self._ownership.on_time(now)
        if orders and not self._well:
            # The dialplan counts visits; an owner that has lived until its first re-arming is well and empties the counter.
            self._well = True
            orders.append(SetVariables({"hops": ""}))
        return orders if now < self._catching_up_until else orders + talk.on_time(now)

    def _has_sent(self, file: str) -> bool:
        return self._talk is not None and self._talk.has_sent(file)

    # --- The end ---

    def _after_all(self, event: told.Input, now: float) -> list[Order]:
        """What was being done when its caller went is in the records; where another has the call, that one tells. A timer that was
        armed in the belief that it was ours does not take it from them."""
        if isinstance(event, told.TimerArmed) and self.owner and not self._hung_up:
            return self._ownership.on_armed(event.task_id)
        if not isinstance(event, told.ActionDone | told.ActionFailed) or not self.owner:
            return []
        if self.ended and not self._hung_up:
            return []
        return self._progress.actions.ended(event, now)[0]

    def _leave(self, event: told.End, now: float) -> list[Order]:
        self.ended = True
        orders = self._talk.forget() if self._talk is not None and not self._leaving.is_released else []
        if not isinstance(event, told.HungUp):
            # Somebody else has the call, or its end was not seen: no outcome of ours.
            return [*orders, *(self._ownership.lost(now) if isinstance(event, told.OwnerChanged) else [])]
        self._hung_up = True
        if self._talk is not None:
            self._talk.ends(now)
        proof = "the call was over, and nobody told how" if event.unseen else f"CHANNEL_HANGUP {event.cause}"
        orders += self._incidents.close(Outcome.DROPPED, proof, call_is_up=False)
        return [*orders, Record(CallEnded(event.cause, self._ended_by(event)))]

    def _ended_by(self, event: told.HungUp) -> str:
        if event.unseen:
            return "unknown"
        if self._leaving.is_hanging_up:
            return "lifeline"
        return "switch" if event.by_switch else "caller"
