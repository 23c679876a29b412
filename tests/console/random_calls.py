"""Calls in which everything happens that may: random, from the switch's events to the journal, with what a witness saw of them.

``RandomCall`` drives the real deciding code, owner after owner. ``outcomes`` is the oracle: DESIGN.md's rule in a few lines, from
what the switch saw and from nothing else but the names of the incidents. That a failure has one is asserted as it happens.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ai_engine.messages import MediaConnected
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.inputs import AiUse
from esl_bridge.journal.events import Entry, IncidentClosed, IncidentOpened, JournalEvent, TurnFinished
from tests.console.journal import Boot
from tests.esl_bridge.calls.harness import UUID, Line

# The prompts of the test's flow that name keys.
NAMES_KEYS = frozenset(
    ("balance_press_1.wav", "hours_press_2.wav", "person_press_9.wav", "menu_hint.wav", "anything_else_menu.wav", "key_account.wav")
)
ACTIONS = (
    "hear", "hear", "hear", "begin", "fail", "fail turn", "understood", "not understood", "key", "wait", "missing", "agent",
    "comes back", "killed", "hang up",
)  # fmt: skip
MOST_ACTIONS = 14


@dataclass(frozen=True, slots=True)
class Fact:
    """What a witness beside the switch saw: ``opened`` (an incident), ``mode``, ``resumed``, ``heard``, ``key``, ``agent``."""

    kind: str
    what: str = ""


def outcomes(facts: Sequence[Fact], *, found_gone: bool) -> dict[str, str]:
    """The oracle. Outcome by incident; ``found_gone``: nobody saw the end, and nobody had the call."""
    came: dict[str, str] = {}
    unsettled, mode, resuming, is_of_resume = "", "ai", False, False
    for fact in facts:
        settled = ""
        match fact.kind:
            case "opened":
                unsettled = fact.what
                is_of_resume = resuming
                came[unsettled] = "dropped"  # Unless something better is seen before the end.
            case "mode":
                resuming = resuming and mode == fact.what  # What goes over to the menu was not resumed.
                mode = fact.what
            case "resumed":
                resuming, is_of_resume = True, False
            case "heard" if resuming and (mode == "ai" or is_of_resume):
                settled = "recovered"  # Where the caller was, AI or menu. One that was open before is the menu's to settle there.
            case "heard" if mode == "fallback" and fact.what in NAMES_KEYS:
                settled = "failed_over"
            case "key" if mode == "fallback":
                settled = "failed_over"
            case "agent":
                settled = "failed_over"
        if settled and unsettled:
            came[unsettled] = settled
            unsettled = ""
        resuming = resuming and fact.kind != "heard"
    if found_gone:
        came["lost"] = "dropped"
    return came


@dataclass
class RandomCall:
    """``entries`` by owner, each in its own order. ``found_gone``: the switch is to be asked, nobody told its end."""

    dice: random.Random
    call_uuid: str = ""
    facts: list[Fact] = field(default_factory=list)
    entries: list[list[Entry]] = field(default_factory=list)
    found_gone: bool = False
    _begun: set[str] = field(default_factory=set)
    _kept: dict[str, str] = field(default_factory=dict)
    _at_us: int = 0
    _seen: int = 0

    @classmethod
    def lived(cls, dice: random.Random, now_us: int) -> RandomCall:
        call = cls(dice, str(uuid.uuid4()))  # Not of the dice: a seed that is tried again is another call.
        call._at_us = now_us
        call._live()
        return call

    def _live(self) -> None:
        self._take()
        for _ in range(self.dice.randrange(MOST_ACTIONS)):
            if self._line.call.ended:
                return
            self._act(self.dice.choice(ACTIONS))
        if not self._line.call.ended:
            self._end()

    def _end(self) -> None:
        # Whom a person has, or the last resort, was not lost: those ends are the switch's own matter (``lost_calls``).
        elsewhere = any(isinstance(one, order.TransferToAgent | order.TransferToLastResort) for one in self._line.orders)
        if self.dice.random() < 0.3 and not elsewhere:
            self.found_gone = True
        else:
            self._tell(told.HungUp("NORMAL_CLEARING"))

    def _take(self, disposition: str = "") -> None:
        """The next owner takes the call, with what the one before left on the channel."""
        self._line = Line(bridge_id=f"bridge-{len(self.entries) + 1}")
        self._seen = 0
        self._boot = Boot(uuid.uuid4().hex, self._at_us)
        self.entries.append([])
        use = self.dice.choice([AiUse.USABLE, AiUse.USABLE, AiUse.NO_ENGINE])
        is_resumed = bool(self._kept)
        flow, at = self._line.flow, self._line.began_at
        connected = told.Connected(UUID, "1000", "9200", True, dict(self._kept), disposition, flow, use, at=at)
        if is_resumed and not disposition:
            self.facts.append(Fact("resumed"))
        self._line.tell(connected)
        self._note()
        if self.dice.random() < 0.9:
            self._tell(MediaConnected(UUID, "gateway-1", 1))

    def _failed(self, what: str) -> None:
        """What has just happened is a failure: an incident is open, or whoever was waiting for nothing more has not noticed."""
        events = [entry.event for owner in self.entries for entry in owner]
        opened = {one.incident_id for one in events if isinstance(one, IncidentOpened)}
        closed = {one.incident_id for one in events if isinstance(one, IncidentClosed)}
        assert opened - closed, f"no incident is open after this: {what}"

    def _awaits_a_turn(self) -> bool:
        line = self._line
        over = {event.turn for event in line.journal(TurnFinished)}
        return self._kept.get("mode") == "ai" and bool(line.all(order.PublishTurn)) and line.turn() not in over

    def _awaits_the_beginning(self) -> bool:
        """Of what was to be played last, and has neither begun nor been stopped."""
        play = self._line.playing()
        assert play is not None
        since = self._line.orders[self._line.orders.index(play) :]
        return play.play_id not in self._begun and order.StopPlayback() not in since

    def _act(self, action: str) -> None:
        line, released = self._line, bool(self._line.all(order.TransferToAgent))
        listening = bool(line.all(order.PublishTurn)) and not released
        match action:
            case "hear" | "begin" | "missing" if released or line.playing() is None:
                return
            case "hear":
                self._hear()
                line.end_play(started=False)
            case "begin":
                self._hear()
            case "missing":
                awaited = self._awaits_the_beginning()
                line.end_play("FILE NOT FOUND", started=False)
                self._note()
                if awaited:
                    self._failed(action)
            case "fail":
                self._tell(told.QueueLost("redis_away") if self.dice.random() < 0.5 else told.AudioFailed("closed"))
            case "fail turn" if listening:
                awaited = self._awaits_a_turn()
                line.turn_fails()
                self._note()
                if awaited:
                    self._failed(action)
            case "understood" if listening:
                line.understood(self.dice.choice(["balance", "hours", "person"]))
            case "not understood" if listening:
                line.understood("")
            case "key":
                self.facts.append(Fact("key"))
                line.key(self.dice.choice("0123456789*#"))
            case "wait":
                line.wait(self.dice.choice([0.5, 3.0, 8.0]))
            case "agent" if released:
                self.facts.append(Fact("agent"))
                line.tell(told.AgentBridged())
            case "comes back" if released:
                self._note()
                self._take(self.dice.choice(["SUCCESS", "USER_BUSY"]))
            case "killed" if not released and not line.all(order.TransferToLastResort):
                self._note()
                self._take()
                self._failed(action)
            case "hang up":
                line.tell(told.HungUp("NORMAL_CLEARING"))
            case _:
                return
        self._note()

    def _hear(self) -> None:
        """The switch opens the file."""
        play = self._line.playing()
        assert play is not None
        self.facts.append(Fact("heard", play.file))
        self._begun.add(play.play_id)
        self._line.begin_play()

    def _tell(self, event: told.Input) -> None:
        self._line.tell(event)
        self._note()

    def _note(self) -> None:
        """What the owner ordered since: the journal's events, and what the switch keeps."""
        fresh, self._seen = self._line.orders[self._seen :], len(self._line.orders)
        for one in fresh:
            if isinstance(one, order.SetVariables):
                self._kept |= one.values
                if "mode" in one.values:
                    self.facts.append(Fact("mode", one.values["mode"]))
            if isinstance(one, order.TransferToAgent):
                self.facts.append(Fact("mode", "agent"))
            if isinstance(one, order.TransferToLastResort):
                self.facts.append(Fact("mode", "last_resort"))  # A key there is the switch's matter, which tells it itself.
            if not isinstance(one, order.Record):
                continue
            if isinstance(one.event, IncidentOpened):
                self.facts.append(Fact("opened", one.event.incident_id.replace(UUID, self.call_uuid)))
            self._at_us = self._boot.at_us
            self.entries[-1].append(self._boot.entry(self._renamed(one.event), self.call_uuid, self._line.call.epoch))

    def _renamed(self, event: JournalEvent) -> JournalEvent:
        """Every call of the harness has the same name; here each has its own."""
        if isinstance(event, IncidentOpened | IncidentClosed):
            return msgspec.structs.replace(event, incident_id=event.incident_id.replace(UUID, self.call_uuid))
        return event

