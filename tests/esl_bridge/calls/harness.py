"""A switch, an AI and a clock made of lists: drives one :class:`Call` and remembers what it ordered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from ai_engine.messages import (
    MediaConnected,
    MediaReport,
    SpeechEnded,
    SpeechStarted,
    TurnDone,
    TurnFailed,
    TurnReplying,
    TurnTaken,
)
from callflows.definition.flow import FlowVersion, Phrase
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.call import Call
from esl_bridge.journal.events import JournalEvent
from tests.esl_bridge.calls.flow import demonstration

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
UUID = "67f4668d-b17d-4b43-a9e9-a79e324546cd"
Wanted = TypeVar("Wanted")
Event = TypeVar("Event")


class Line:
    """One call on a pretended switch. Plays end when :meth:`hear_out` says so; time passes by :meth:`wait`."""

    def __init__(self, flow: FlowVersion | None = None, bridge_id: str = "bridge-1") -> None:
        self.flow = flow or demonstration()
        self.call = Call(bridge_id)
        self.now = 100.0
        self.began_at = NOON
        self.orders: list[order.Order] = []
        self._seen = 0
        self._answered_plays: set[str] = set()

    def connect(self, *, kept: dict[str, str] | None = None, use: told.AiUse = told.AiUse.USABLE, disposition: str = "",
                flow: bool = True) -> None:  # fmt: skip
        wanted = self.flow if flow else None
        self.tell(told.Connected(UUID, "1000", "9200", True, kept or {}, disposition, wanted, use, at=self.began_at))

    def tell(self, event: told.Input) -> list[order.Order]:
        fresh = self.call.handle(event, self.now)
        self.orders += fresh
        return fresh

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the call when it wants to be woken."""
        end = self.now + seconds
        while (wake := self.call.wake_at()) is not None and wake <= end:
            self.now = max(self.now, wake)
            self.tell(told.TimePassed())
        self.now = end

    def all(self, kind: type[Wanted]) -> list[Wanted]:
        return [item for item in self.orders if isinstance(item, kind)]

    def journal(self, kind: type[Event]) -> list[Event]:
        events: list[JournalEvent] = [item.event for item in self.all(order.Record)]
        return [event for event in events if isinstance(event, kind)]

    def playing(self) -> order.Play | None:
        plays = [play for play in self.all(order.Play) if play.play_id not in self._answered_plays]
        return plays[-1] if plays else None

    def end_play(self, response: str = "FILE PLAYED", *, started: bool = True) -> None:
        play = self.playing()
        assert play is not None, "nothing is playing"
        self._answered_plays.add(play.play_id)
        if started:
            self.tell(told.PlaybackStarted(f"/prompts/{play.file}"))
        self.tell(told.PlaybackEnded(play.play_id, response))

    def begin_play(self) -> None:
        play = self.playing()
        assert play is not None
        self.tell(told.PlaybackStarted(f"/prompts/{play.file}"))

    def hear_out(self) -> list[str]:
        """Every queued prompt plays to its end; the words of each."""
        heard = []
        while (play := self.playing()) is not None:
            heard.append(self.words(play.file))
            self.end_play()
        return heard

    def words(self, file: str) -> str:
        return self.flow_words().get(file, file)

    def flow_words(self) -> dict[str, str]:
        return {phrase.file: phrase.text for phrase in self._phrases()}

    def length_s(self, file: str) -> float:
        return next(phrase.duration_ms / 1000 for phrase in self._phrases() if phrase.file == file)

    def _phrases(self) -> list[Phrase]:
        system = [getattr(self.flow.system, name) for name in self.flow.system.__struct_fields__]
        menus = [phrase for intent in self.flow.intents for phrase in (intent.menu, intent.confirm)]
        slots = [phrase for slot in self.flow.slots for phrase in (slot.ask, slot.ask_keypad)]
        return [*system, *menus, *slots, *self.flow.phrases.values()]

    def key(self, key: str) -> None:
        """A key is pressed; what was playing stops."""
        if order.StopPlayback() in self.tell(told.KeyPressed(key)):
            self.end_play()

    def turn(self) -> int:
        return self.all(order.PublishTurn)[-1].turn

    def stream_up(self) -> None:
        self.tell(MediaConnected(UUID, "gateway-1", 1))

    def taken(self, drill: str = "") -> None:
        self.tell(TurnTaken(UUID, self.turn(), "worker-1", 1.0, drill))
        self.tell(MediaReport(UUID, self.turn(), 12))

    def speak(self, drill: str = "") -> None:
        self.taken(drill)
        self.tell(SpeechStarted(UUID, self.turn()))
        self.tell(SpeechEnded(UUID, self.turn(), "vad"))

    def understood(self, intent: str = "", *, transcript: str = "words", slots: dict[str, str] | None = None,
                   reply: bool = False, confidence: float = 0.9) -> None:  # fmt: skip
        self.speak()
        if reply:
            self.replying("Sure.", intent, confidence=confidence)
        self.tell(TurnDone(UUID, self.turn(), transcript, intent, confidence, slots or {}, "Sure." if reply else "", reply, ()))

    def replying(self, words: str, intent: str, *, part: int = 1, length_ms: int = 500, confidence: float = 0.9) -> None:
        self.tell(TurnReplying(UUID, self.turn(), part, "words", intent, confidence, {}, words, length_ms))

    def turn_fails(self, *, stage: str = "stt", kind: str = "refused", intent: str = "",
                   slots: dict[str, str] | None = None, confidence: float = 0.9, drill: str = "") -> None:  # fmt: skip
        self.speak(drill)
        self.tell(TurnFailed(UUID, self.turn(), stage, kind, 4, (), "", intent, slots or {}, confidence=confidence))

    def to_listening(self) -> None:
        """A fresh call, greeted, listening for what the caller wants."""
        self.connect()
        self.stream_up()
        self.hear_out()
