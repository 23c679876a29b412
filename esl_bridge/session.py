"""One outbound socket from FreeSWITCH: bytes and time in, bytes out, around one pure :class:`Call`.

Owns the connection and its end. Does not own the queue, actions or the journal: it hands those orders to the bridge.
An error here costs this call's turn at most: the call goes to the dialplan of last resort, every other call goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import structlog

from callflows.definition.flow import FlowVersion
from esl_bridge.alarm import Alarm
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.call import SIMULATED, Call
from esl_bridge.calls.from_switch import AUDIO_EVENTS, EVENTS, OFFER, connected, dialled_number, is_held, kept_variables, told_by
from esl_bridge.calls.history import unpack
from esl_bridge.calls.offered import Offered
from esl_bridge.calls.ownership import epoch_of
from esl_bridge.calls.to_switch import SwitchSettings, to_switch
from esl_bridge.expecting import Expecting, Tag, keeps_key, tag_of
from esl_bridge.protocol import commands
from esl_bridge.protocol.conversation import Conversation, Disconnecting, Happened, JobDone, Received, Rejected, Replied
from esl_bridge.protocol.errors import EventSocketError, UnsafeArgument
from esl_bridge.protocol.messages import Event, parse_plain_event
from esl_bridge.sealing import Seal
from esl_bridge.wire import Wire, queued_s

log = structlog.get_logger(__name__)

# Long enough for the last event of a call that has ended, which FreeSWITCH tells when its call records are written: a slow server
# for those must not make an end that nobody saw. With that event we close; FreeSWITCH by itself when this is over (behaviour 9).
LINGER_S = 120
# A peer that connects and says nothing that we asked for is no FreeSWITCH. No sooner: a call that has left by the dialplan's own
# timer is cut wherever it is when its old socket closes, and a switch without time answers some of hundreds after five seconds.
HANDSHAKE_S = 30.0
# After a stall timers are heard before what has come meanwhile: long enough to read that first.
READ_FIRST_S = 0.1
# While the switch is asked whose call this is. It answers in milliseconds, after events that had come already; when this
# much has gathered it has stopped answering, and the call's timer in it will act.
MAX_HELD = 1000
# What it answers to a command of a module that is not loaded.
NO_COMMAND = "Command not found"
# What the switch answers for a variable that nobody has set.
UNSET = "_undef_"
NOTHING = Tag(Expecting.NOTHING, "subscribe")
TIME_PASSED = told.TimePassed()
HOLDER = Tag(Expecting.HOLDER, "holder")
SUBSCRIPTION = commands.events(EVENTS, AUDIO_EVENTS)


class Surroundings(Protocol):
    """What a session needs of its bridge."""

    switch: SwitchSettings
    bridge_id: str
    seal: Seal

    def now(self) -> float: ...
    def wall_clock(self) -> datetime: ...
    def flow_for(self, kept_flow: str, dialled: str) -> FlowVersion | None: ...
    def ai_use(self, *, begins: bool) -> told.AiUse: ...
    def kept_off(self, call_uuid: str, *, simulated: bool) -> str: ...
    def media_metadata(self, call_uuid: str, epoch: int) -> str: ...
    def identified(self, session: Session) -> bool: ...

    def opened(self, session: Session) -> Mapping[str, str]:
        """It takes its call. The last word of the session of this bridge that had the call until now, if there is one."""

    def closed(self, session: Session) -> None: ...
    def carry_out(self, session: Session, wanted: order.Order) -> None: ...


class Session(asyncio.Protocol):
    """The shell of one call."""

    def __init__(self, bridge: Surroundings) -> None:
        self._bridge = bridge
        self._conversation: Conversation[Tag] = Conversation()
        self._wire = Wire(self._conversation, self._give_up)
        self._alarm = Alarm(bridge.now, self._wake)
        self._handshake: asyncio.TimerHandle | None = None
        self._holds = False
        # An action is begun once the switch has its key, so that whoever takes this call over knows it.
        self._action_due: order.RunAction | None = None
        # Whether the switch has our name as the owner's; the caller had gone before, so that nobody else says how it ended; and
        # the call is over, only its end has not been told.
        self._is_taken = False
        self._came_too_late = False
        self._is_over_there = False
        # What waits while the switch is asked who owns this call; None when nothing is in doubt.
        self._held: list[told.Input] | None = None
        self._offered = Offered(bridge.now())
        self.call = Call(bridge.bridge_id)
        self.call_uuid = ""

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire.opened(transport)
        self._offered.was_queued(queued_s(transport))
        self._handshake = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._is_late)
        self._wire.send(commands.connect(), Tag(Expecting.CHANNEL, "connect"))
        self._wire.flush()

    def data_received(self, data: bytes) -> None:
        try:
            for received in self._conversation.receive(data):
                self._received(received)
        except EventSocketError as error:
            log.warning("closing a connection that does not speak the Event Socket protocol", call=self.call_uuid, error=str(error))
            self._give_up("malformed")
        except Exception:
            log.exception("a call failed in the bridge; it goes to the dialplan of last resort", call=self.call_uuid)
            self._abandon()
        self._wire.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._alarm.cancel()
        self._stop_waiting()
        self._conversation.unanswered()
        self._wire.lost()
        if self.call_uuid:
            unseen = self._came_too_late or self._is_over_there
            self.feed(told.HungUp(told.FOUND_GONE, unseen=True) if unseen else told.SocketClosed())
            self._key_kept(ok=False)
        self._bridge.closed(self)

    # --- From the bridge ---

    @property
    def is_over(self) -> bool:
        """The call has ended, or is another bridge's: only the socket is still there."""
        return self.call.ended

    def feed(self, event: told.Input) -> None:
        """Tell the call something and carry out what it decides. Never raises: a fault costs this call only."""
        try:
            self._weigh(event)
        except Exception:
            log.exception("a call failed in the bridge; it goes to the dialplan of last resort", call=self.call_uuid)
            self._abandon()
        self._wire.flush()

    def close(self) -> None:
        """Give the call back to the dialplan (which takes it to another bridge)."""
        self._wire.close()

    # --- Inside ---

    def _received(self, received: Received[Tag]) -> None:
        match received:
            case Happened():
                self._event(received.event)
            case Replied():
                self._reply(received)
            case JobDone(ok=ok, text=text, tag=tag):
                if not ok:
                    log.debug("the switch could not do a command", call=self.call_uuid, what=tag.what, text=text)
            case Disconnecting(lingering=False):
                # It closes by itself when the call is over, and has then refused what we asked of the call, or answers nothing.
                self._came_too_late = not self._is_taken
                self.close()
            case Disconnecting():
                # How it ended may be told much later. Until then nothing is decided: no prompt failed, and nothing was heard.
                self._is_over_there = True
                self.call.denied(self._bridge.now())
                self._held = self._held or []
            case Rejected():
                log.error("the switch refuses this address", text=received.text)
                self._give_up("rejected")

    def _reply(self, reply: Replied[Tag]) -> None:
        match reply.tag.expecting:
            case Expecting.NOTHING if reply.ok:
                pass  # nearly all of them
            case Expecting.CHANNEL if not reply.ok:
                log.warning("the switch has no call for this connection", text=reply.text)
                self._give_up("refused")
            case Expecting.CHANNEL:
                self._weigh_offer(reply.message.event())
            case Expecting.CHANNEL_AGAIN if reply.ok:
                self._weigh_offer(parse_plain_event(reply.message.body))
            case Expecting.CHANNEL_AGAIN:
                self._offer_is_over()
            case Expecting.TIMER_ID:
                _, _, task_id = reply.text.partition("Added: ")
                self.feed(told.TimerArmed(task_id.strip()))
            case Expecting.HOLDER:
                self._holder_told(reply.text, up=reply.ok)
            case Expecting.TAKEN:
                self._is_taken = reply.ok
            case Expecting.STREAM:
                if not reply.ok:
                    self.feed(told.StreamRefused(for_good=NO_COMMAND in reply.text))
            case Expecting.KEY:
                self._key_kept(ok=reply.ok)
            case Expecting.OFFER:
                if reply.ok and not is_held(reply.text):
                    self.feed(told.TakenOffHold())
            case Expecting.NOTHING:
                log.debug("the switch refused a command", call=self.call_uuid, what=reply.tag.what, text=reply.text)

    def _is_late(self) -> None:
        self._handshake = asyncio.get_running_loop().call_later(READ_FIRST_S, self._give_up, "no_handshake")

    def _stop_waiting(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _weigh_offer(self, channel: Event) -> None:
        """Take the call, or leave it to whoever has it by now: not a word then, and no closing either, which would take it away."""
        self._stop_waiting()
        self.call_uuid = channel.get("Unique-ID")
        now = self._bridge.now()
        if not self._offered.told(channel, now) and commands.can_name(self.call_uuid):
            self._offered.asked_again(now)
            self._wire.send(commands.dump(self.call_uuid), Tag(Expecting.CHANNEL_AGAIN, "dump"))
        elif holder := self._offered.left_for(channel):
            log.warning("this call was offered here too late; its holder keeps it", call=self.call_uuid, holder=holder)
            self._bridge.identified(self)
        else:
            self._begin(channel)

    def _offer_is_over(self) -> None:
        """The call ended while we stood still. If nobody else can have had it, its end is ours to tell."""
        if self._offered.first is not None and self._offered.was_ours_alone(self._bridge.now()):
            self._begin(self._offered.first)

    def _begin(self, channel: Event) -> None:
        if not self._bridge.identified(self):
            self._give_up("full")
            return
        if not commands.can_name(self.call_uuid):
            log.error("a call's identifier is none that commands may name; the dialplan keeps the call")
            self._give_up("foreign_identifier")
            return
        self._wire.send(commands.linger(LINGER_S), NOTHING)
        self._wire.send(commands.filter_header("Unique-ID", self.call_uuid), NOTHING)
        self._wire.send(SUBSCRIPTION, NOTHING)
        last_word = self._bridge.opened(self)
        kept = kept_variables(channel)
        if epoch_of(last_word.get("owner", "")) > epoch_of(kept.get("owner", "")):
            # Two visits of one call have come here at once, and the switch has not read yet what we said upon the first.
            kept |= last_word
        flow = self._bridge.flow_for(kept.get("flow", ""), dialled_number(channel, kept))
        use = self._bridge.ai_use(begins="owner" not in kept)
        drill = ""
        if use is told.AiUse.USABLE:
            drill = self._bridge.kept_off(self.call_uuid, simulated=kept.get("simulated") == SIMULATED)
            use = told.AiUse.NO_ENGINE if drill else use
        history = unpack(self._bridge.seal.opened(self.call_uuid, kept))
        at, own = self._bridge.wall_clock(), self._wire.own_address
        self.feed(connected(channel, flow, use, drill, history, kept=kept, at=at, own_address=own))

    def _event(self, event: Event) -> None:
        self._told(event)
        if event.name == "CHANNEL_HANGUP_COMPLETE":
            self.close()  # or FreeSWITCH keeps the ended call, and we its place, for as long as the socket lingers

    def _told(self, event: Event) -> None:
        holder = event.variable("ll_holder") or ""
        if holder == self.call.owner:
            self._holds = True
        elif epoch_of(holder) > self.call.epoch or (self._holds and holder):
            # Not merely the holder before us, whose name events carry until the switch has ours.
            self.feed(told.OwnerChanged())
            return
        elif self.call.owner and epoch_of(holder) == self.call.epoch and self._held is None and not self.is_over:
            # Two took the call for the same: it is whose name stands when both have been written.
            self._ask_whose(TIME_PASSED)
        event_told = told_by(event, self.call.answer_id)
        if event_told is not None:
            self.feed(event_told)

    def _weigh(self, event: told.Input) -> None:
        """Decide now, or ask the switch first: whose call is this after a stall, and is it still up after a failure?

        Nobody says when another bridge takes a call; and when a caller hangs up, the audio's end is known before the call's.
        What ends the matter by itself needs no question: another owner was seen, or the socket is closed. Or the call is over
        and the switch's own event still names us (``_event`` has looked): what came before it was ours as well.
        """
        if isinstance(event, told.End):
            held, self._held = self._held or [], None
            if isinstance(event, told.HungUp):
                stood_still = self.call.in_doubt(self._bridge.now()) and not event.unseen
                for earlier in held:
                    if not self.call.in_question(earlier):
                        self._handle(earlier)
                if stood_still:
                    # The caller went while nobody here could answer them.
                    self._handle(told.StoodStill())
            self._handle(event)
        elif self._held is not None:
            self._hold(event)
        elif self.call.in_doubt(self._bridge.now()) or self.call.in_question(event):
            self._ask_whose(event)
        else:
            self._handle(event)

    def _ask_whose(self, event: told.Input) -> None:
        """Until the switch has told it, nothing is decided, ``event`` first."""
        self._held = [event]
        self._wire.send(commands.get_variable(self.call_uuid, "ll_holder"), HOLDER)

    def _hold(self, event: told.Input) -> None:
        assert self._held is not None
        if isinstance(event, told.TimePassed):
            return
        if len(self._held) >= MAX_HELD:
            log.error("the switch does not say whose call this is; nothing more is said on this socket", call=self.call_uuid)
            self._held = None
            self._handle(told.OwnerChanged())
            return
        self._held.append(event)

    def _key_kept(self, *, ok: bool) -> None:
        due, self._action_due = self._action_due, None
        if due is None:
            return
        if self.call.ended:
            self.feed(told.ActionFailed(due.key, "call_over"))
        elif ok:
            self._bridge.carry_out(self, due)
        else:
            log.warning("an action is not begun: its key could not be kept on the call", call=self.call_uuid, action=due.action)
            self.feed(told.ActionFailed(due.key, "key_not_kept"))

    def _holder_told(self, holder: str, *, up: bool) -> None:
        """Every event that the switch sent before its answer has been held; they are decided now, or never."""
        if self._held is None or self._is_over_there:
            return
        if not up:
            # The call's end is on its way, and it is what the failure came from.
            self.call.denied(self._bridge.now())
            return
        held, self._held = self._held, None
        if holder not in (self.call.owner, UNSET):
            log.warning("this call has left us; nothing more is said on this socket", call=self.call_uuid)
            self._handle(told.OwnerChanged())
            return
        now = self._bridge.now()
        if self.call.in_doubt(now):
            log.warning("this call stood still here, and is still ours", call=self.call_uuid)
            for wanted in self.call.owner_confirmed(now):
                self._carry_out(wanted)
        # What came before it in the same moment, such as the end of a cut prompt, came of it.
        for event in sorted(held, key=lambda event: not isinstance(event, told.TakenElsewhere)):
            self._handle(event)

    def _handle(self, event: told.Input) -> None:
        for wanted in self.call.handle(event, self._bridge.now()):
            self._carry_out(wanted)
        self._alarm.set(self.call.wake_at() if self._wire.is_there else None)

    def _carry_out(self, wanted: order.Order) -> None:
        if isinstance(wanted, order.Record):
            self._bridge.carry_out(self, wanted)
            return
        if isinstance(wanted, order.KeepHistory):
            wanted = order.SetVariables(self._bridge.seal.variables(self.call_uuid, wanted.packed))
        metadata = self._bridge.media_metadata(self.call_uuid, self.call.epoch) if isinstance(wanted, order.StartAudio) else ""
        try:
            ready = to_switch(wanted, self.call_uuid, self.call.answer_id, metadata, self._bridge.switch)
        except UnsafeArgument as error:
            log.error("a command was not sent", call=self.call_uuid, order=type(wanted).__name__, error=str(error))
            if keeps_key(wanted):
                # Behind the order to act, which comes next.
                asyncio.get_running_loop().call_soon(lambda: self._key_kept(ok=False))
            return
        if isinstance(wanted, order.RunAction):
            self._action_due = wanted
            return
        for command in ready:
            self._wire.send(command, tag_of(wanted))
        if isinstance(wanted, order.ArmTimer) and self.call.is_held:
            # Of a hold that began before the call last moved the switch tells no end: their newest offer does.
            self._wire.send(commands.get_variable(self.call_uuid, OFFER), Tag(Expecting.OFFER, "offer"))
        if not ready:
            self._bridge.carry_out(self, wanted)

    def _wake(self) -> None:
        self.feed(TIME_PASSED)

    def _abandon(self) -> None:
        """A fault of ours: what is certain to work is the dialplan's own menu, and then nothing more from here.

        Not while the call may be another's: its timer, or its other owner, has it.
        """
        if self._held is not None or self.call.in_doubt(self._bridge.now()):
            return
        if not self.call.owner:
            # Not ours yet: the chain goes on at once.
            self._give_up("fault")
            return
        for wanted in self.call.faulted():
            try:
                self._carry_out(wanted)
            except Exception:
                # Each for itself: what cannot be recorded must not keep the caller from the menu.
                log.exception("an order after a fault failed as well", call=self.call_uuid, order=type(wanted).__name__)

    def _give_up(self, why: str) -> None:
        if self._wire.is_there:
            log.info("closing a connection", call=self.call_uuid, why=why)
            self._wire.abort()
