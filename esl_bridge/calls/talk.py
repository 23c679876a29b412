"""Who speaks with the caller while the bridge has the call, the AI's dialogue or the keypad menu, and every passage between them.

Owns the speaker, the turns, a hold and what becomes of each. How a call begins, whose it is and how it ends is ``call.py``'s.
Pure. What the AI's turn does is in ``turns.py``, sound in ``speaker.py``.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import timedelta

from ai_engine.messages import Exchange, MediaClosed, MediaConnected
from callflows.definition.flow import FlowVersion, Phrase
from callflows.definition.hours import is_open
from esl_bridge.calls import inputs as told
from esl_bridge.calls.dialogue import Dialogue, DialogueStep, HearReply, Listen, UseMenu
from esl_bridge.calls.hold import Hold
from esl_bridge.calls.incidents import Incidents
from esl_bridge.calls.inputs import AiUse
from esl_bridge.calls.leaving import Leaving
from esl_bridge.calls.listening import TurnFailure
from esl_bridge.calls.orders import Order, Record, StartAudio, StopAudio
from esl_bridge.calls.progress import Progress
from esl_bridge.calls.salvage import salvaged
from esl_bridge.calls.speaker import Heard, Said, Speaker
from esl_bridge.calls.turns import BargeIn, FalseBargeIn, News, Replying, Turns
from esl_bridge.journal.events import Cause, FallbackReason, FellBack, IntentServed, Mode, Outcome
from ivr_fallback import steps as menu_steps
from ivr_fallback.menu import Menu

# A start of the audio stream is refused while the one before it is still being stopped, which takes some milliseconds. How
# long a call waits for its stream is the turn's matter: a frozen gateway may hold the stopping for seconds.
AUDIO_RETRY_S = 0.1
# A line whose noise has stopped this many prompts hears the others to their end, and may speak then.
MAX_FALSE_BARGE_INS = 2


class Talk:
    """``owner``: of the call, by its bridge and epoch. ``progress``, ``incidents`` and ``leaving`` are the call's own."""

    def __init__(
        self, begun: told.Connected, flow: FlowVersion, *, bridge_id: str, epoch: int, now: float,
        progress: Progress, incidents: Incidents, leaving: Leaving,
    ) -> None:  # fmt: skip
        self.flow = flow
        self._progress = progress
        self._incidents = incidents
        self._leaving = leaving
        # With our name in it: where two took the call for the same, neither takes the other's sounds for its own.
        owner_mark = zlib.crc32(bridge_id.encode()) & 0xFFFF
        self._speaker = Speaker(f"{epoch:04x}-{begun.call_uuid}", numbered_from=owner_mark << 16)
        self._turns = Turns(flow, first_turn=epoch * 1000, history=begun.history)
        self._hold = Hold()
        self._hold.is_on = begun.held
        self._talker: Dialogue | Menu | None = None
        self._use, self._use_drill = begun.ai_use, begun.drill
        self._audio_due = not begun.answered
        self._audio_retry_at: float | None = None
        self._key_deadline: float | None = None
        self._question: tuple[Phrase, ...] = ()
        self._false_barge_ins = 0
        # They have heard what they asked for, and have asked for nothing since.
        self._served = False
        self._began_at, self._began, self._now = begun.at, now, now

    # --- What the call asks ---

    @property
    def deadline(self) -> float | None:
        """When :meth:`on_time` should be called, if nothing else happens before."""
        moments = (self._speaker.deadline, self._key_deadline, self._turns.deadline, self._audio_retry_at)
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def turn(self) -> int:
        """The newest turn's number."""
        return self._turns.turn

    @property
    def history(self) -> tuple[Exchange, ...]:
        return self._turns.history

    @property
    def is_held(self) -> bool:
        return self._hold.is_on

    def fails_by(self, event: told.Input) -> bool:
        """Whether this is a failure, or an end that nobody ordered."""
        if isinstance(event, told.PlaybackEnded):
            return self._speaker.surprised_by(event.play_id, event.response)
        return self._progress.mode is Mode.AI and self._turns.fails_by(event)

    def has_sent(self, file: str) -> bool:
        return self._speaker.has_sent(file)

    def abandon(self, now: float) -> list[Order]:
        """Somebody else has the caller: the turn that runs is nobody's failure."""
        return self._turns.abandon(now)

    def forget(self) -> list[Order]:
        """The call is over for us; nothing is stopped on the switch."""
        return self._turns.forget()

    def ends(self, now: float) -> None:
        """Whatever silence there was, it ends with the call."""
        self._turns.sound(now)

    # --- How it begins ---

    def begin(self, now: float) -> list[Order]:
        if self._use is not AiUse.USABLE:
            opening = self.flow.greeting(is_open=self._is_open())
            return self._fall_back(FallbackReason(self._use.value), opening, now, detail="at the start of the call")
        self._talker = Dialogue(self.flow, slots=self._progress.slots, is_open=self._is_open)
        return [*self._start_audio(), *self._carry_out(self._talker.begin(), now)]

    def resume(self, kept: Mapping[str, str], now: float) -> list[Order]:
        """Where an owner before us left it: with whoever spoke to them then, as far as that is possible now."""
        step = kept.get("step", "")
        orders = self._incidents.open(TurnFailure(Cause.BRIDGE, "bridge", "resumed"), attempts=1, turn=0)
        if kept.get("mode") == Mode.FALLBACK.value:
            self._progress.mode = Mode.FALLBACK
            menu = Menu(self.flow, slots=self._progress.slots, is_open=self._is_open, intent=self._progress.intent)
            self._talker = menu
            if step == "goodbye":
                self._incidents.goes_on_as_before()
            return orders + self._carry_out(menu.resume(step), now)
        if self._use is not AiUse.USABLE:
            return orders + self._fall_back(FallbackReason(self._use.value), self._transfer_words(), now, detail="at a resume")
        self._incidents.goes_on_as_before()
        dialogue = Dialogue(self.flow, slots=self._progress.slots, is_open=self._is_open, intent=self._progress.intent)
        self._talker = dialogue
        return [*orders, StopAudio(), *self._start_audio(), *self._carry_out(dialogue.resume(step), now)]

    def resume_after_person(self, disposition: str, now: float) -> list[Order]:
        """``disposition``: what the switch says of the call to them."""
        opening: tuple[Phrase, ...] = () if disposition == "SUCCESS" else (self.flow.system.no_agent,)
        self._progress.mode = Mode.FALLBACK
        menu = Menu(self.flow, slots=self._progress.slots, is_open=self._is_open)
        self._talker = menu
        return self._carry_out(menu.begin_after_agent(opening), now)

    def _start_audio(self) -> list[Order]:
        """After the answer: before it there may be no media to copy."""
        return [] if self._audio_due else [StartAudio()]

    # --- While the call is here ---

    def handle(self, event: told.Input, now: float) -> list[Order]:
        """What follows from ``event``, while the call is here."""
        self._now = now
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
                due, self._audio_due = self._audio_due and self._progress.mode is Mode.AI, False
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
        proof, in_menu = f"PLAYBACK_START {event.file}", self._progress.mode is Mode.FALLBACK
        return [*again, *self._incidents.on_heard(heard, proof, in_menu=in_menu), *self._let_speak_over()]

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
        if self._progress.mode is Mode.FALLBACK:
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
        orders, wanted = self._progress.actions.ended(event, now)
        if not wanted or self._talker is None:
            return orders
        if isinstance(event, told.ActionDone):
            return orders + self._carry_out(self._talker.on_action(event.outcome, event.values), now)
        return orders + self._carry_out(self._talker.on_action_failed(), now)

    def on_time(self, now: float) -> list[Order]:
        """What has become due."""
        self._now = now
        orders: list[Order] = []
        if self._audio_retry_at is not None and now >= self._audio_retry_at:
            self._audio_retry_at = None
            orders += [StartAudio()] if self._progress.mode is Mode.AI else []
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
        if self._progress.mode is not Mode.AI:
            return []
        self._served = False
        orders = self._incidents.open(
            failure, attempts=self._turns.attempts, turn=self._turns.turn,
            drill=self._turns.drill, silence=self._turns.silence,
        )  # fmt: skip
        detail = f"{failure.cause.value}/{failure.stage}/{failure.kind}"
        return orders + self._fall_back(FallbackReason.INCIDENT, self._transfer_words(), now, detail=detail)

    def _fall_back(self, reason: FallbackReason, opening: tuple[Phrase, ...], now: float, *, detail: str) -> list[Order]:
        self._hold.forget()
        self._incidents.goes_to_menu()
        orders: list[Order] = []
        if (failed := self._turns.take_failed()) is not None:
            doubted = self._talker.doubted if isinstance(self._talker, Dialogue) else ""
            for step in salvaged(failed, self.flow, self._progress.slots, chosen=self._progress.intent, doubted=doubted):
                orders += self._carry_out_one(step, now)
        drill = self._use_drill if reason is FallbackReason.NO_ENGINE else ""
        orders += [Record(FellBack(reason, detail, drill)), *self._turns.abandon(now), *self._speaker.stop(now)]
        orders += [*self._progress.go_to_menu(), StopAudio()]
        self._key_deadline = None
        menu = Menu(self.flow, slots=self._progress.slots, is_open=self._is_open, intent=self._progress.intent)
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
        return self._progress.mode is Mode.AI and isinstance(self._talker, Dialogue) and self._talker.invites_speech

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
                return self._progress.enter(step.step)
            case menu_steps.ChooseIntent():
                self._served = False
                return self._progress.choose(step.intent)
            case menu_steps.KeepSlot():
                by_voice = step.by_voice or self._turns.just_understood
                return self._progress.keep(step.name, step.value, self.flow.slot(step.name), by_voice=by_voice)
            case menu_steps.ForgetSlots():
                return self._progress.forget(step.names)
            case menu_steps.Act():
                return self._act(step, now)
            case menu_steps.Served():
                self._served = True
                return [Record(IntentServed(step.intent, self._progress.mode)), *self._progress.end_wish()]
            case menu_steps.DropIntent():
                return self._progress.end_wish()
            case menu_steps.ToPerson():
                return self._leaving.to_person(step.destination)
            case menu_steps.ToLastResort():
                return self._leaving.to_last_resort()
            case menu_steps.End():
                return self._leaving.hang_up()
            case HearReply():
                return self._hear_reply(now)
            case Listen():
                return self._listen(step.expect, now)
            case UseMenu():
                return self._fall_back(FallbackReason(step.why), (), now, detail="")

    def _act(self, step: menu_steps.Act, now: float) -> list[Order]:
        intent = self.flow.intent(step.intent)
        if intent is None or self._talker is None:
            return []
        secret = {slot.name for slot in self.flow.slots if slot.sensitive}
        orders, known = self._progress.actions.begin(intent.name, intent.action, step.slots, now, secret=secret)
        if known is None:
            return orders
        if isinstance(known, told.ActionFailed):
            return orders + self._carry_out(self._talker.on_action_failed(), now)
        return orders + self._carry_out(self._talker.on_action(known.outcome, known.values), now)

    def _listen(self, expect: str, now: float) -> list[Order]:
        if self._use is not AiUse.USABLE:
            return self._fall_back(FallbackReason(self._use.value), self._transfer_words(), now, detail="before a turn")
        self._turns.heard(self._speaker.take_heard())
        orders, failure = self._turns.begin(expect, self._progress.slots, now)
        return orders if failure is None else orders + self._fail_over(failure, now)
