"""A person on the telephone: hears, thinks, speaks or presses keys, loses patience, hangs up.

Owns one caller's timing and their record. What to do is decided by :mod:`simulator.mind`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from espeak.errors import SpeechError
from simulator.hearing import PromptTexts
from simulator.interrupting import By, Interruptions, voice_begins_s
from simulator.media import Part
from simulator.mind import Action, Kind, Mind
from simulator.records import CallRecord, Outcome, SilenceMeter
from simulator.rest import Rest
from simulator.scenarios import Goal, Scenario
from simulator.session import Session
from simulator.voices import VOICES, Voices

log = structlog.get_logger(__name__)

_HEARD_SHARE: Final = 0.6  # of a prompt, after which its words are understood
_KEY_GAP_S: Final = 0.25  # between keys, as a quick thumb presses them
_BARGE_IN_AFTER_S: Final = 1.0
_INTERRUPT_AFTER_S: Final = (0.6, 1.2)  # of a question, by who has heard it before
_MENU_AFTER_S: Final = (0.5, 2.0)  # of being answered, by who wants the menu and nothing else
_CUT_S: Final = 0.1  # before its end, and a prompt has been broken off
_AGENT_VOICE: Final = "agent"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. ``silence_s`` of nothing audible, or ``total_s`` altogether, and the caller hangs up."""

    silence_s: float = 12.0
    total_s: float = 180.0
    think_s: tuple[float, float] = (0.3, 0.8)
    leave_s: float = 2.5  # after the answer and what follows it, with nothing more being said
    half_told_s: float = 8.0  # after an answer that nothing followed: it may have stopped in the middle
    answer_s: float = 30.0  # of ringing


class _Turn(StrEnum):
    THEIRS_IS_OVER = "theirs_is_over"
    SILENCE = "silence"
    NOTHING_MORE = "nothing_more"
    CALL_IS_OVER = "call_is_over"


class Caller:
    """The far end of one session. ``on_end`` gets the record once, when the call is over."""

    def __init__(
        self,
        session: Session,
        scenario: Scenario,
        goal: Goal,
        account: str,
        texts: PromptTexts,
        voices: Voices,
        on_end: Callable[[CallRecord], None],
        random_source: random.Random,
        patience: Patience = Patience(),
        later: Sequence[Goal] = (),
    ) -> None:
        self._session = session
        self._clock = session.switch.clock
        self._scenario = scenario
        self._patience = patience
        self._think_s = scenario.think_s or patience.think_s
        self._random = random_source
        self._texts, self._voices = texts, voices
        self._voice, self._rate_wpm = random_source.choice(VOICES)
        self._mind = Mind(goal, account, random_source, keys_only=scenario.keys_only, later=list(later))
        self._on_end = on_end
        self.record = CallRecord(scenario.name, session.channel.uuid)
        self._silence = SilenceMeter()
        self._interruptions = Interruptions()
        self._began_s = self._quiet_since_s = self._clock.now_s()
        self._rest = Rest(self._clock)
        self._answered = False
        self._audible: list[Part] = []
        self._words: list[str] = []
        self._unknown_speech = False
        self._is_bridged = False
        self._hung_up_because = ""
        self._over = False
        self._task = session.switch.spawn(self._live())

    # --- what the switch tells ----------------------------------------------------------------------------------------
    def on_answered(self) -> None:
        self._pick_up()

    def on_audio_started(self, part: Part) -> None:
        self._pick_up()
        if part.audible:
            self._silence.sound(self._clock.now_s())
            self.record.last_sound_s = self._now_in_call_s()
            self._audible.append(part)
            self._rest.wake()

    def on_audio_ended(self, part: Part, heard_s: float) -> None:
        if not part.audible or part not in self._audible:
            return
        now_s = self._clock.now_s()
        self._audible.remove(part)
        if heard_s >= part.duration_s * _HEARD_SHARE and not self._interruptions.is_answered(part):
            self._take_in(part, now_s)
        self._interruptions.ended(part, heard_s, now_s)
        if not self._audible:
            self._quiet_since_s = now_s
            self._silence.quiet_from(now_s, after_a_cut=heard_s < part.duration_s - _CUT_S)
        self._rest.wake()

    def on_bridged(self, agent: str) -> None:
        self._is_bridged = True
        self.record.last_sound_s = self._now_in_call_s()
        self.record.talked_to_person = True
        self.record.heard.append((self._now_in_call_s(), f"({agent} answers)"))
        self._rest.wake()

    def on_unbridged(self) -> None:
        self._is_bridged = False
        self.record.last_sound_s = self._now_in_call_s()
        if not self._over:
            self._mind.helped_by_person = True
            self._words.clear()
        self._rest.wake()

    def on_hung_up(self, cause: str) -> None:
        """Whoever did it."""
        if self._over:
            return
        self._over = True
        now_s = self._clock.now_s()
        if not self._hung_up_because:
            self._hung_up_because = f"switch:{cause}"
            if self._is_bridged:
                self._mind.helped_by_person = True  # the agent ended the conversation and the call with it
        if not self._mind.satisfied and not self._audible:
            self._silence.sound(now_s)  # the silence they were left in counts
        self._conclude(now_s)
        self._rest.wake()

    def _conclude(self, now_s: float) -> None:
        record, mind = self.record, self._mind
        record.ended_because = self._hung_up_because
        record.duration_s = now_s - self._began_s
        record.longest_silence_s = self._silence.longest_s
        record.silences = [one._replace(since_s=one.since_s - self._began_s) for one in self._silence.noticed]
        record.quiet_from_s = (now_s if self._audible or self._is_bridged else self._quiet_since_s) - self._began_s
        record.quiet_after_a_cut = self._silence.is_after_a_cut
        record.barge_ins = self._interruptions.done
        record.in_fallback = mind.in_fallback
        record.understood = not mind.in_fallback and (
            mind.helped_by_person if mind.goal.name == "person" else mind.answered
        )
        if self._hung_up_because == "gave_up":
            record.outcome = Outcome.GAVE_UP
        elif mind.satisfied:
            record.outcome = Outcome.FINISHED
        self._on_end(record)

    def _pick_up(self) -> None:
        if not self._answered:
            self._answered = True
            self._quiet_since_s = self._clock.now_s()
            self._silence.quiet_from(self._quiet_since_s)
            self._rest.wake()

    def _take_in(self, part: Part, now_s: float) -> None:
        if part.file == _AGENT_VOICE:
            return
        text = self._texts.text_of(part)
        if text:
            self._words.append(text)
        elif part.file:
            self._unknown_speech = True
        else:
            return  # a tone says nothing
        self.record.heard.append((now_s - self._began_s, text or "(speech)"))

    # --- living through the call --------------------------------------------------------------------------------------
    async def _live(self) -> None:
        try:
            async with asyncio.timeout(self._clock.wall_s(self._patience.answer_s)):
                while not self._answered and not self._over:
                    await self._change()
        except TimeoutError:
            self._hang_up("no_answer")
        limit_s = self._patience.total_s
        because = "out_of_time"
        if self._scenario.hangs_up_after_s is not None:
            limit_s, because = self._random.uniform(*self._scenario.hangs_up_after_s), "gave_up"
        try:
            async with asyncio.timeout(self._clock.wall_s(limit_s)):
                await self._converse()
        except TimeoutError:
            self._hang_up(because)

    async def _converse(self) -> None:
        if self._scenario.types_ahead:
            await self._clock.sleep(0.5)
            await self._press("1")
        if self._scenario.keys_only:
            await self._clock.sleep(self._random.uniform(*_MENU_AFTER_S))
            await self._act(self._mind.ask_for_menu())
        while not self._over:
            turn = await self._listen()
            if turn is _Turn.SILENCE:
                self._hang_up("silence")
            elif turn is _Turn.NOTHING_MORE:
                self._hang_up("satisfied")
            elif turn is _Turn.THEIRS_IS_OVER:
                text, unknown = " ".join(self._words), self._unknown_speech
                self._words, self._unknown_speech = [], False
                await self._act(self._mind.decide(text, unknown_speech=unknown))

    async def _listen(self) -> _Turn:
        """Until somebody has spoken and then paused, or there is nothing more to wait for."""
        think_s = self._random.uniform(*self._think_s)
        while not self._over:
            if self._audible or self._is_bridged:
                if await self._barge_in():
                    think_s = self._random.uniform(*self._think_s)
                    continue
                await self._change()
                continue
            news = bool(self._words) or self._unknown_speech
            if news:
                limit_s, turn = think_s, _Turn.THEIRS_IS_OVER
            elif self._mind.satisfied:
                whole = self._mind.told_all or self._mind.helped_by_person
                limit_s, turn = self._patience.leave_s if whole else self._patience.half_told_s, _Turn.NOTHING_MORE
            else:
                limit_s, turn = self._patience.silence_s, _Turn.SILENCE
            left_s = self._quiet_since_s + limit_s - self._clock.now_s()
            if left_s <= 0 or not await self._change(left_s):
                if self._audible:
                    continue
                return turn
        return _Turn.CALL_IS_OVER

    async def _change(self, within_s: float | None = None) -> bool:
        """Wait until something happens; False when ``within_s`` went by first."""
        return await self._rest.until_woken(within_s)

    async def _barge_in(self) -> bool:
        """A caller who knows the menu, or the question, does not wait for its end."""
        if not self._audible:
            return False
        if self._scenario.interrupts is not None:
            return await self._interrupt(self._audible[-1], self._scenario.interrupts)
        if not self._scenario.barges_in:
            return False
        option = self._mind.option_for_goal(" ".join([*self._words, self._texts.text_of(self._audible[-1])]))
        if option is None:
            return False
        await self._clock.sleep(_BARGE_IN_AFTER_S)
        if self._over:
            return True
        self._words, self._unknown_speech = [], False
        await self._act(self._mind.decide(f"for {option.what}, press {option.key}", unknown_speech=False))
        await self._change(1.0)
        return True

    async def _interrupt(self, part: Part, by: By) -> bool:
        text = self._texts.text_of(part)
        if self._interruptions.is_answered(part) or not self._mind.is_asked(text):
            return False
        await self._clock.sleep(self._random.uniform(*_INTERRUPT_AFTER_S))
        if self._over or part not in self._audible:
            return True
        self._words, self._unknown_speech = [], False
        self._interruptions.intend(part, by)
        spoken = by is By.VOICE
        await self._act(self._mind.decide(text, unknown_speech=False) if spoken else self._mind.keys_instead(text))
        return True

    async def _act(self, action: Action) -> None:
        if action.kind is Kind.SAY:
            await self._speak(action.text)
        elif action.kind is Kind.PRESS:
            await self._press(action.text)
        elif action.kind is Kind.HANG_UP:
            self._hang_up("satisfied")

    async def _speak(self, text: str) -> None:
        try:
            pcm = await self._voices.speech(text, self._voice, self._rate_wpm)
        except SpeechError as error:
            log.error("caller_has_no_voice", error=str(error))
            self._hang_up("no_voice")
            return
        if self._over:
            return
        self._silence.own_turn()
        self._interruptions.begin(self._clock.now_s() + voice_begins_s(pcm))
        self.record.said.append((self._now_in_call_s(), text))
        await self._clock.sleep(self._session.microphone.say(pcm, self._clock.now_s()))
        self._own_turn_over(after_words=True)

    async def _press(self, keys: str) -> None:
        self._silence.own_turn()
        self._interruptions.begin(self._clock.now_s())
        self.record.said.append((self._now_in_call_s(), f"[{keys}]"))
        for number, key in enumerate(keys):
            if number:
                await self._clock.sleep(_KEY_GAP_S)
            self._session.press(key)
        self._own_turn_over()

    def _own_turn_over(self, *, after_words: bool = False) -> None:
        self._quiet_since_s = self._clock.now_s()
        if not self._audible and not self._over:
            self._silence.quiet_from(self._quiet_since_s, after_words=after_words)

    def _hang_up(self, because: str) -> None:
        if not self._over:
            self._hung_up_because = because
            self._session.caller_hangs_up()

    def _now_in_call_s(self) -> float:
        return self._clock.now_s() - self._began_s
