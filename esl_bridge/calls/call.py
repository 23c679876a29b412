"""One live call, decided: ``handle(input, now) -> orders``. The same function runs under the socket and in every test.

Owns how a call begins, who is spoken to (the AI's dialogue or the keypad menu), and every passage between them.
Pure: no clock, socket or identifier of its own. What the AI's turn does is in ``turns.py``, sound in ``speaker.py``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import timedelta

from ai_engine.messages import Exchange, MediaClosed, MediaConnected
from callflows.definition.flow import FlowVersion, Phrase
from callflows.definition.hours import is_open
from callflows.definition.kept import SLOT_BYTES, SLOT_PREFIX, kept_bytes
from esl_bridge.calls import inputs as told
from esl_bridge.calls.actions_taken import ACTION_KEY, ActionsTaken
from esl_bridge.calls.ask_next import NEXT_VARIABLE
from esl_bridge.calls.dialogue import Dialogue, DialogueStep, HearReply, Listen, UseMenu
from esl_bridge.calls.history import pack
from esl_bridge.calls.hold import Hold
from esl_bridge.calls.incidents import OPEN_VARIABLE, Incidents
from esl_bridge.calls.inputs import AiUse
from esl_bridge.calls.listening import TurnFailure
from esl_bridge.calls.orders import (
    AnswerCall,
    HangUp,
    KeepHistory,
    LeaveToOthers,
    Order,
    Record,
    SetVariables,
    StartAudio,
    StopAudio,
    TransferToAgent,
    TransferToLastResort,
)
from esl_bridge.calls.ownership import Ownership, epoch_of
from esl_bridge.calls.salvage import salvaged
from esl_bridge.calls.speaker import Heard, Said, Speaker
from esl_bridge.calls.turns import BargeIn, FalseBargeIn, News, Replying, Turns
from esl_bridge.journal.events import (
    AgentJoined,
    AgentRequested,
    CallEnded,
    CallStarted,
    Cause,
    FallbackReason,
    FellBack,
    IntentServed,
    Mode,
    Outcome,
    SlotCollected,
    StepEntered,
)
from esl_bridge.protocol.commands import safe_value
from ivr_fallback import steps as menu_steps
from ivr_fallback.menu import Menu

AFTER_AGENT = "after_agent"
# Of `ll_simulated`. A channel variable, which no caller can set: only a dialplan, or who placed the call.
SIMULATED = "true"
# A start of the audio stream is refused while the one before it is still being stopped, which takes some milliseconds. How
# long a call waits for its stream is the turn's matter: a frozen gateway may hold the stopping for seconds.
AUDIO_RETRY_S = 0.1
# A busy loop is late by tens of milliseconds. One that is later than this stood still (stopped, starved), and what was said
# to it meanwhile waits unread: no deadline is past before that has been read.
LATE_S = 0.3
# Long enough for a round through Redis and for the gateway's next report (every 250 ms); no caller notices it.
CATCH_UP_S = 0.3
# The chain's first act in a visit is to name itself as the holder. By then it has, if it was the chain that moved a call.
LEFT_S = 1.0
# A line whose noise has stopped this many prompts hears the others to their end, and may speak then.
MAX_FALSE_BARGE_INS = 2


class Call:
    """A call of one owner. ``epoch`` rises with each owner; orders of an older one are mute from :class:`OwnerChanged` on."""

    def __init__(self, bridge_id: str) -> None:
        self._bridge_id = bridge_id
        self._talker: Dialogue | Menu | None = None
        self._mode = Mode.AI
        self._step = ""
        self._slots: dict[str, str] = {}
        self._intent = ""
        self._use = AiUse.USABLE
        self._use_drill = ""
        self._key_deadline: float | None = None
        self._released = False
        self._elsewhere = False
        self._sure_it_left_at: float | None = None
        self._in_last_resort = False
        self._hanging_up = False
        self._hung_up = False
        self._hold = Hold()
        self._well = False
        self._audio_due = False
        self._audio_retry_at: float | None = None
        self._question: tuple[Phrase, ...] = ()
        self._false_barge_ins = 0
        self._catching_up_until = 0.0
        self._kept_history: tuple[Exchange, ...] = ()
        self._kept_slots: dict[str, int] = {}
        # They have heard what they asked for, and have asked for nothing since.
        self._served = False
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
        self._now = now
        return [*self._decide(event, now), *self._keep_history()]

    def _decide(self, event: told.Input, now: float) -> list[Order]:
        if isinstance(event, told.Connected):
            return self._connected(event, now)
        if self.ended or not self.owner:
            return self._result_after_all(event, now)
        if isinstance(event, told.End):
            return self._leave(event, now)
        if isinstance(event, told.AgentBridged):
            return self._agent_joined()
        if isinstance(event, told.TimerArmed):
            return self._ownership.on_armed(event.task_id)
        if self._in_last_resort and isinstance(event, told.PlaybackStarted) and not self._speaker.has_sent(event.file):
            return self._incidents.close(Outcome.FAILED_OVER, f"PLAYBACK_START {event.file}")
        if self._released:
            return self._left_for_good(now) if isinstance(event, told.TimePassed) else self._result_after_all(event, now)
        if isinstance(event, told.TakenElsewhere):
            return self._taken_elsewhere(now)
        return self._live(event, now)

    def wake_at(self) -> float | None:
        """When :class:`TimePassed` should come, if nothing else does before."""
        if self.ended or not self.owner:
            return None
        if self._released:
            return self._sure_it_left_at
        moments = (self._speaker.deadline, self._key_deadline, self._turns.deadline, self._audio_retry_at)
        patient = [max(moment, self._catching_up_until) for moment in moments if moment is not None]
        return min([*patient, *([] if self._ownership.due is None else [self._ownership.due])], default=None)

    def in_doubt(self, now: float) -> bool:
        """Whether the switch must be asked who owns the call before anything is decided: its timer may have fired."""
        return bool(self.owner) and not self.ended and self._ownership.in_doubt(now)

    def in_question(self, event: told.Input) -> bool:
        """Whether this is a failure, or an end that nobody ordered: in a call that is over, or another's, it is neither."""
        if self.ended or not self.owner:
            return False
        if self._released:
            return isinstance(event, told.TimePassed) and self._sure_it_left_at is not None
        if isinstance(event, told.TakenElsewhere):
            return True
        if isinstance(event, told.PlaybackEnded):
            return self._speaker.surprised_by(event.play_id, event.response)
        return self._mode is Mode.AI and self._turns.fails_by(event)

    def faulted(self) -> list[Order]:
        """After an error of ours: the dialplan's own menu takes the caller, unless an agent has them. Only the end matters then."""
        if self.ended or self._released or not self.owner:
            return []
        failure = TurnFailure(Cause.BRIDGE, "bridge", "fault")
        turn = self._turns.turn
        return [*self._to_last_resort(), *self._turns.forget(), *self._incidents.open(failure, attempts=1, turn=turn)]

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
        return bool(self.owner) and not self.ended and not self._released and self._hold.is_on

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
        self.call_uuid = event.call_uuid
        self.simulated = kept.get("simulated") == SIMULATED
        self._use, self._use_drill = event.ai_use, event.drill
        self._hold.is_on = event.held
        self._ownership = Ownership(event.call_uuid)
        # With our name in it: where two took the call for the same, neither takes the other's sounds for its own.
        owner_mark = zlib.crc32(self._bridge_id.encode()) & 0xFFFF
        self._speaker = Speaker(f"{self.epoch:04x}-{event.call_uuid}", numbered_from=owner_mark << 16)
        self._incidents = Incidents(event.call_uuid, self.epoch, kept.get(OPEN_VARIABLE, ""))
        self._actions = ActionsTaken(event.call_uuid, kept.get("visit", ""), kept.get(ACTION_KEY, ""))
        self._began_at, self._began = event.at, now
        first_turn = self.epoch * 1000 if event.flow else 0
        self._turns = Turns(event.flow, first_turn=first_turn, history=event.history)
        self._kept_history = event.history
        if event.flow is None:
            return self._without_flow(event, now)
        self.flow: FlowVersion = event.flow
        kept_flow = f"{event.flow.slug}:{event.flow.number}"
        mine = {"owner": self.owner, "holder": self.owner, "flow": kept_flow, "lang": event.flow.language}
        if event.ask_next or NEXT_VARIABLE in kept:  # or the order of an owner who was reached by another way would stay
            mine |= {NEXT_VARIABLE: event.ask_next}
        started = CallStarted(
            event.caller, event.destination, event.flow.slug, event.flow.number, event.flow.language, self._bridge_id,
            resumed=self.epoch > 1, simulated=self.simulated,
        )  # fmt: skip
        orders: list[Order] = [Record(started), SetVariables(mine)]
        orders += self._ownership.take(now, from_another=self.epoch > 1)
        if not event.answered:
            self._audio_due = True
            orders.append(AnswerCall())
        self._slots = {name.removeprefix(SLOT_PREFIX): value for name, value in kept.items() if name.startswith(SLOT_PREFIX)}
        self._kept_slots = {name: kept_bytes(SLOT_PREFIX + name, value) for name, value in self._slots.items()}
        self._intent = kept.get("intent", "")
        if self.epoch > 1 or kept.get("step") == AFTER_AGENT:
            # Also of a call that no bridge has had before: the last resort gave its caller to the person.
            return orders + self._resume(event, now)
        return orders + self._start(now)

    def _start(self, now: float) -> list[Order]:
        if self._use is not AiUse.USABLE:
            opening = self.flow.greeting(is_open=self._is_open())
            return self._fall_back(FallbackReason(self._use.value), opening, now, detail="at the start of the call")
        self._talker = Dialogue(self.flow, slots=self._slots, is_open=self._is_open)
        return [*self._start_audio(), *self._carry_out(self._talker.begin(), now)]

    def _start_audio(self) -> list[Order]:
        """After the answer: before it there may be no media to copy."""
        return [] if self._audio_due else [StartAudio()]

    def _resume(self, event: told.Connected, now: float) -> list[Order]:
        step = event.kept.get("step", "")
        if step == AFTER_AGENT:
            met = event.agent_disposition == "SUCCESS"
            opening: tuple[Phrase, ...] = () if met else (self.flow.system.no_agent,)
            self._mode = Mode.FALLBACK
            menu = Menu(self.flow, slots=self._slots, is_open=self._is_open)
            self._talker = menu
            return self._carry_out(menu.begin_after_agent(opening), now)
        orders = self._incidents.open(TurnFailure(Cause.BRIDGE, "bridge", "resumed"), attempts=1, turn=0)
        if event.kept.get("mode") == Mode.FALLBACK.value:
            self._mode = Mode.FALLBACK
            menu = Menu(self.flow, slots=self._slots, is_open=self._is_open, intent=self._intent)
            self._talker = menu
            if step == "goodbye":
                self._incidents.goes_on_as_before()
            return orders + self._carry_out(menu.resume(step), now)
        if self._use is not AiUse.USABLE:
            return orders + self._fall_back(FallbackReason(self._use.value), self._transfer_words(), now, detail="at a resume")
        self._incidents.goes_on_as_before()
        dialogue = Dialogue(self.flow, slots=self._slots, is_open=self._is_open, intent=self._intent)
        self._talker = dialogue
        return [*orders, StopAudio(), *self._start_audio(), *self._carry_out(dialogue.resume(step), now)]

    def _without_flow(self, event: told.Connected, now: float) -> list[Order]:
        """No published flow takes this number: the last resort is better than silence."""
        started = CallStarted(event.caller, event.destination, "", 0, "", self._bridge_id, resumed=self.epoch > 1,
                              simulated=self.simulated)  # fmt: skip
        lost = TurnFailure(Cause.BRIDGE, "bridge", "resumed")
        self._released = self._in_last_resort = True
        return [
            Record(started),
            SetVariables({"owner": self.owner, "holder": self.owner}),
            *(self._incidents.open(lost, attempts=1, turn=0) if self.epoch > 1 else []),
            TransferToLastResort(),
            Record(StepEntered("last_resort", Mode.LAST_RESORT)),
        ]

    # --- While it lives ---

    def _live(self, event: told.Input, now: float) -> list[Order]:
        match event:
            case told.PlaybackStarted():
                return self._playback_started(event, now)
            case told.PlaybackEnded():
                said, orders = self._speaker.on_ended(event.play_id, event.response, now)
                return orders + self._after_sound(said, now)
            case told.KeyPressed():
                return self._key(event.key, now)
            case told.ReplyFileReady():
                return self._reply_file(event.path, now)
            case told.AiUseChanged():
                self._use, self._use_drill = event.use, event.drill
                return []
            case told.ActionDone() | told.ActionFailed():
                return self._action_ended(event, now)
            case told.TimePassed():
                return self._time(now)
            case MediaConnected() | MediaClosed() | told.AudioFailed() | told.QueueLost():
                return self._turn_news(event, now)
            case told.PutOnHold():
                return self._put_on_hold(now)
            case told.TakenOffHold():
                return self._taken_off_hold(now)
            case told.StreamRefused():
                return self._stream_refused(event, now)
            case told.StoodStill() if self._served and not self._turns.has_heard_a_voice:
                return []  # Nobody owed them a word.
            case told.StoodStill():
                return self._incidents.open(TurnFailure(Cause.BRIDGE, "bridge", "stood_still"), attempts=1, turn=self._turns.turn)
            case told.Answered():
                due, self._audio_due = self._audio_due and self._mode is Mode.AI, False
                return [StartAudio()] if due else []
            case _:
                return self._turn_news(event, now)

    def _turn_news(self, event: told.Input, now: float) -> list[Order]:
        orders, news = self._turns.hear(event, now)
        return orders + self._after_turn(news, now)

    def _after_turn(self, news: News, now: float) -> list[Order]:
        if news is None:
            return []
        if isinstance(news, TurnFailure):
            return self._fail_over(news, now)
        if not isinstance(self._talker, Dialogue):
            return []
        if isinstance(news, Replying):
            wanted = not self._hold.is_on and self._talker.acts_on(news.intent, news.confidence)
            return self._hear_reply(now) if wanted else []
        if isinstance(news, BargeIn):
            return [*self._speaker.stop(now), *self._carry_out(self._talker.on_said(), now)]
        if isinstance(news, FalseBargeIn):
            self._false_barge_ins += 1
            again: list[DialogueStep] = [menu_steps.Say(self._question)]
            return self._carry_out(again, now)
        steps = self._talker.on_nothing_said() if news.done is None else self._talker.on_understood(news.done)
        if news.done is not None and not self._talker.is_leaving:
            self._served = False
        self._hold.answered()
        return self._carry_out(steps, now)

    def _hear_reply(self, now: float) -> list[Order]:
        orders: list[Order] = []
        for part, path in self._turns.reply.take():
            orders += self._speaker.await_reply(path, now, words=part.words, length_ms=part.length_ms)
        return orders

    def _reply_file(self, path: str, now: float) -> list[Order]:
        if not self._turns.reply.wants_file(now):
            return []
        orders = self._speaker.on_reply_file(path, now)
        if orders is None:
            self._turns.reply.keep_file(path)
        return orders or []

    def _stream_refused(self, event: told.StreamRefused, now: float) -> list[Order]:
        if event.for_good:
            return self._turn_news(told.AudioFailed("no_module"), now)
        self._audio_retry_at = now + AUDIO_RETRY_S
        return []

    def _playback_started(self, event: told.PlaybackStarted, now: float) -> list[Order]:
        again = self._speaker.begins_after_all(event.file, now)
        heard = self._speaker.on_started(event.file, now)
        if heard is not Heard.NOTHING:
            self._turns.sound(now)
        proof = f"PLAYBACK_START {event.file}"
        return [*again, *self._incidents.on_heard(heard, proof, in_menu=self._mode is Mode.FALLBACK), *self._let_speak_over()]

    def _after_sound(self, said: Said, now: float) -> list[Order]:
        if said is Said.ALL and self._turns.is_running:
            return []  # A reply's sentence; the model is still at work on the next, or on the result.
        if said is Said.ALL and self._talker is not None:
            return self._carry_out(self._talker.on_said(), now)
        if said is Said.REPLY_LOST:
            return self._fail_over(TurnFailure(Cause.MEDIA, "reply", "reply_lost"), now)
        if said is Said.MISSING:
            missing = TurnFailure(Cause.MEDIA, "prompt", "prompt_missing")
            if not isinstance(self._talker, Menu):
                return self._fail_over(missing, now)
            opened = self._incidents.open(missing, attempts=1, turn=self._turns.turn)
            return opened + self._carry_out(self._talker.on_prompt_missing(), now)
        return []

    def _key(self, key: str, now: float) -> list[Order]:
        if self._talker is None:
            return []
        proof: list[Order] = []
        if self._mode is Mode.FALLBACK:
            proof = self._incidents.close(Outcome.FAILED_OVER, "DTMF")
        self._turns.just_understood = False
        steps = self._talker.on_key(key)
        if not steps:
            return proof
        self._served = False
        self._key_deadline = None
        self._hold.forget()  # Keys come by another way than audio, and this one is the answer.
        return [*proof, *self._turns.abandon(now), *self._speaker.stop(now), *self._carry_out(steps, now)]

    def _action_ended(self, event: told.ActionDone | told.ActionFailed, now: float) -> list[Order]:
        orders, wanted = self._actions.ended(event, now)
        if not wanted or self._talker is None:
            return orders
        if isinstance(event, told.ActionDone):
            return orders + self._carry_out(self._talker.on_action(event.outcome, event.values), now)
        return orders + self._carry_out(self._talker.on_action_failed(), now)

    def _time(self, now: float) -> list[Order]:
        due = self.wake_at()
        # Once for what is due: a loop that is late all the time would put off the end of every waiting for ever.
        if due is not None and now - due > LATE_S and due > self._catching_up_until:
            self._catching_up_until = now + CATCH_UP_S
        orders = self._ownership.on_time(now)
        if orders and not self._well:
            # The dialplan counts visits; an owner that has lived until its first re-arming is well and empties the counter.
            self._well = True
            orders.append(SetVariables({"hops": ""}))
        if now < self._catching_up_until:
            return orders
        if self._audio_retry_at is not None and now >= self._audio_retry_at:
            self._audio_retry_at = None
            orders += [StartAudio()] if self._mode is Mode.AI else []
        said, more = self._speaker.on_time(now)
        orders += more + self._after_sound(said, now)
        if self._key_deadline is not None and now >= self._key_deadline and self._talker is not None:
            self._key_deadline = None
            orders += self._carry_out(self._talker.on_silence(), now)
        turn_orders, news = self._turns.on_time(now)
        return orders + turn_orders + self._after_turn(news, now)

    def _put_on_hold(self, now: float) -> list[Order]:
        """Whoever is held hears nothing of us: nothing is said to them, nothing counts as heard, and nothing is asked or decided
        until they are back. What was being said then, or asked, is said again.
        """
        cuts = self._speaker.goes_on
        waits, self._key_deadline = self._key_deadline is not None, None
        orders, was_asked = self._turns.stop_hearing(now)
        if cuts and self._turns.is_running:
            self._turns.reply.give_up()
        self._hold.begin(interrupts=was_asked or ((cuts or waits) and not self._turns.is_running))
        return [*orders, *self._speaker.stop(now)]

    def _taken_off_hold(self, now: float) -> list[Order]:
        return self._carry_out(self._hold.end(), now)

    # --- Passages ---

    def _is_open(self) -> bool:
        """By the wall clock at the call's beginning and the time since: a clock that is set meanwhile changes nothing."""
        return is_open(self.flow.hours, self._began_at + timedelta(seconds=self._now - self._began))

    def _transfer_words(self) -> tuple[Phrase, ...]:
        return (self.flow.system.transfer_to_team,)

    def _fail_over(self, failure: TurnFailure, now: float) -> list[Order]:
        """The AI side failed in this call: it is in the menu from here on, with everything already said kept."""
        if self._mode is not Mode.AI:
            return []
        self._served = False
        orders = self._incidents.open(
            failure, attempts=self._turns.attempts, turn=self._turns.turn,
            drill=self._turns.drill, silence=self._turns.silence,
        )  # fmt: skip
        detail = f"{failure.cause.value}/{failure.stage}/{failure.kind}"
        return orders + self._fall_back(FallbackReason.INCIDENT, self._transfer_words(), now, detail=detail)

    def _fall_back(self, reason: FallbackReason, opening: tuple[Phrase, ...], now: float, *, detail: str) -> list[Order]:
        self._mode = Mode.FALLBACK
        self._hold.forget()
        self._incidents.goes_to_menu()
        orders: list[Order] = []
        if (failed := self._turns.take_failed()) is not None:
            doubted = self._talker.doubted if isinstance(self._talker, Dialogue) else ""
            for step in salvaged(failed, self.flow, self._slots, chosen=self._intent, doubted=doubted):
                orders += self._carry_out_one(step, now)
        drill = self._use_drill if reason is FallbackReason.NO_ENGINE else ""
        orders += [Record(FellBack(reason, detail, drill)), *self._turns.abandon(now), *self._speaker.stop(now)]
        orders += [SetVariables({"mode": self._mode.value, "intent": self._intent}), StopAudio()]
        self._key_deadline = None
        menu = Menu(self.flow, slots=self._slots, is_open=self._is_open, intent=self._intent)
        self._talker = menu
        return orders + self._carry_out(menu.begin(opening), now)

    def _carry_out(self, steps: Sequence[DialogueStep], now: float) -> list[Order]:
        if self._hold.is_on:
            return [wanted for step in self._hold.put_off(steps) for wanted in self._carry_out_one(step, now)]
        self._hold.saying(steps, adds=self._speaker.goes_on)
        orders: list[Order] = []
        for step in steps:
            orders += self._carry_out_one(step, now)
        return orders + self._let_speak_over()

    @property
    def _asks(self) -> bool:
        """The AI side asks something, and the answer may be spoken."""
        return self._mode is Mode.AI and isinstance(self._talker, Dialogue) and self._talker.invites_speech

    def _let_speak_over(self) -> list[Order]:
        """A question is being asked: from the moment the switch plays it the caller may answer it."""
        allowed = self._use is AiUse.USABLE and not self._hold.is_on and self._false_barge_ins < MAX_FALSE_BARGE_INS
        return self._turns.watch() if allowed and self._asks and self._speaker.is_heard else []

    def _carry_out_one(self, step: DialogueStep, now: float) -> list[Order]:
        match step:
            case menu_steps.Say():
                if self._asks:
                    self._question = step.phrases
                return self._speaker.say(step.phrases, now, names_keys=step.names_keys, remember=self._asks)
            case menu_steps.AwaitKey():
                self._key_deadline = now + step.timeout_ms / 1000
                return []
            case menu_steps.EnterStep():
                self._step = step.step
                return [Record(StepEntered(step.step, self._mode)), SetVariables({"step": step.step, "mode": self._mode.value})]
            case menu_steps.ChooseIntent():
                self._intent = step.intent
                self._served = False
                visit = self._actions.new_visit()
                return [SetVariables({"intent": step.intent, "visit": visit, **self._actions.settled()})]
            case menu_steps.KeepSlot():
                return self._keep_slot(step)
            case menu_steps.ForgetSlots():
                for name in step.names:
                    self._slots.pop(name, None)
                    self._kept_slots.pop(name, None)
                visit = self._actions.new_visit()
                forgotten = {SLOT_PREFIX + name: "" for name in step.names}
                return [SetVariables({**forgotten, "visit": visit, **self._actions.settled()})]
            case menu_steps.Act():
                return self._act(step, now)
            case menu_steps.Served():
                self._intent = ""
                self._served = True
                return [Record(IntentServed(step.intent, self._mode)), SetVariables({"intent": "", **self._actions.settled()})]
            case menu_steps.DropIntent():
                self._intent = ""
                return [SetVariables({"intent": "", **self._actions.settled()})]
            case menu_steps.ToPerson():
                return self._to_person(step.destination)
            case menu_steps.ToLastResort():
                return self._to_last_resort()
            case menu_steps.End():
                self._hanging_up = True
                return [*self._ownership.disarm(), HangUp()]
            case HearReply():
                return self._hear_reply(now)
            case Listen():
                return self._listen(step.expect, now)
            case UseMenu():
                return self._fall_back(FallbackReason(step.why), (), now, detail="")

    def _keep_slot(self, step: menu_steps.KeepSlot) -> list[Order]:
        self._slots[step.name] = step.value
        slot = self.flow.slot(step.name)
        by = "voice" if step.by_voice or self._turns.just_understood else "keypad"
        if slot is None or slot.sensitive:
            return [Record(SlotCollected(step.name, "", by))]
        return [Record(SlotCollected(step.name, step.value, by)), SetVariables({SLOT_PREFIX + step.name: self._room_for(step)})]

    def _room_for(self, step: menu_steps.KeepSlot) -> str:
        """Its value, as the switch may keep it. A published flow's slots all fit; what does not is unset, never an old value."""
        self._kept_slots.pop(step.name, None)
        needs = kept_bytes(SLOT_PREFIX + step.name, step.value)
        if not safe_value(step.value) or sum(self._kept_slots.values()) + needs > SLOT_BYTES:
            return ""
        self._kept_slots[step.name] = needs
        return step.value

    def _keep_history(self) -> list[Order]:
        """The menu has no use for it, and a call that has fallen over stays there."""
        if not self.owner or self.ended or self._released:
            return []
        history = self._turns.history if self._mode is Mode.AI else ()
        if history == self._kept_history:
            return []
        self._kept_history = history
        return [KeepHistory(pack(history))]

    def _act(self, step: menu_steps.Act, now: float) -> list[Order]:
        intent = self.flow.intent(step.intent)
        if intent is None or self._talker is None:
            return []
        secret = {slot.name for slot in self.flow.slots if slot.sensitive}
        orders, known = self._actions.begin(intent.name, intent.action, step.slots, now, secret=secret)
        if known is None:
            return orders
        if isinstance(known, told.ActionFailed):
            return orders + self._carry_out(self._talker.on_action_failed(), now)
        return orders + self._carry_out(self._talker.on_action(known.outcome, known.values), now)

    def _listen(self, expect: str, now: float) -> list[Order]:
        if self._use is not AiUse.USABLE:
            return self._fall_back(FallbackReason(self._use.value), self._transfer_words(), now, detail="before a turn")
        self._turns.heard(self._speaker.take_heard())
        orders, failure = self._turns.begin(expect, self._slots, now)
        return orders if failure is None else orders + self._fail_over(failure, now)

    def _to_person(self, destination: str) -> list[Order]:
        self._released = True
        self._mode = Mode.AGENT
        self._intent = ""
        return [
            Record(AgentRequested(destination)),
            Record(StepEntered("person", Mode.AGENT)),
            SetVariables({"step": AFTER_AGENT, "intent": "", **self._actions.settled()}),
            StopAudio(),
            *self._ownership.disarm(),
            TransferToAgent(destination),
        ]

    def _to_last_resort(self) -> list[Order]:
        self._released = self._in_last_resort = True
        return [*self._ownership.disarm(), TransferToLastResort(), Record(StepEntered("last_resort", Mode.LAST_RESORT))]

    def _agent_joined(self) -> list[Order]:
        orders = [Record(AgentJoined()), *self._incidents.close(Outcome.FAILED_OVER, "CHANNEL_BRIDGE")]
        if not self._elsewhere:
            return orders
        self._mode = Mode.AGENT
        self._sure_it_left_at = None
        return [
            *orders,
            Record(StepEntered("person", Mode.AGENT)),
            SetVariables({"step": AFTER_AGENT, "intent": "", **self._actions.settled()}),
            LeaveToOthers(met_person=True),
            StopAudio(),
        ]

    def _taken_elsewhere(self, now: float) -> list[Order]:
        """By an operator, a script or the chain. Not a word more of ours, which would be heard there too, and no timer that takes
        the caller away from it. What plays is not stopped: it may be theirs."""
        self._released = True
        self._elsewhere = True
        self._sure_it_left_at = now + LEFT_S
        return [*self._ownership.let_go(), *self._turns.abandon(now)]

    def _left_for_good(self, now: float) -> list[Order]:
        """The switch still names us as the holder: it was not the chain that moved the call, and nobody there asks for our socket.
        Its end would cut whatever the caller hears then, and nothing would follow."""
        if self._sure_it_left_at is None or now < self._sure_it_left_at:
            return []
        self._sure_it_left_at = None
        return [LeaveToOthers()]

    # --- The end ---

    def _result_after_all(self, event: told.Input, now: float) -> list[Order]:
        """What was being done when its caller went is in the records. Where another has the call, that one tells."""
        if not isinstance(event, told.ActionDone | told.ActionFailed) or not self.owner:
            return []
        if self.ended and not self._hung_up:
            return []
        return self._actions.ended(event, now)[0]

    def _leave(self, event: told.End, now: float) -> list[Order]:
        self.ended = True
        orders = self._turns.forget() if self.owner and not self._released else []
        if not isinstance(event, told.HungUp):
            # Somebody else has the call, or its end was not seen: no outcome of ours.
            return orders
        self._hung_up = True
        by = "unknown" if event.unseen else "lifeline" if self._hanging_up else "switch" if event.by_switch else "caller"
        self._turns.sound(now)
        proof = "the call was over, and nobody told how" if event.unseen else f"CHANNEL_HANGUP {event.cause}"
        orders += self._incidents.close(Outcome.DROPPED, proof, call_is_up=False)
        return [*orders, Record(CallEnded(event.cause, by))]
