"""One call's thread of execution on the switch: its dialplan, the application that runs, and what interrupts it.

Owns FreeSWITCH's rules of order: messages are taken between 20 ms frames of whatever runs (so an unlocked second
`execute` runs *inside* the first), a transfer or a lost owner ends what runs, a break ends only the innermost.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from simulator.call_variables import record_variables
from simulator.channel import Channel, ChannelState
from simulator.dialplan import Action
from simulator.execution import Execution
from simulator.line import FarEnd, Microphone
from simulator.messages import Message, Move, Waited
from simulator.rest import Rest

if TYPE_CHECKING:
    from simulator.audio_stream import AudioStream
    from simulator.switch import Switch

_LEAST_LOOP_S: Final = 0.5
HOLDS: Final = "a=sendonly\r\n"  # the end of a telephone's offer that puts us on hold
_DTMF_SAMPLES: Final = "2000"  # as recorded: 250 ms at 8 kHz


class Session:
    """``only``: instead of the dialplan, these applications (``originate … &park``)."""

    def __init__(
        self, switch: Switch, channel: Channel, far_end: FarEnd, microphone: Microphone, only: Sequence[Action] = ()
    ) -> None:
        self.switch = switch
        self.channel = channel
        self.far_end = far_end
        self.microphone = microphone
        self.audio_stream: AudioStream | None = None
        self.streams_started = 0
        self.files_received = 0  # audio replies, numbered through the whole call
        self.on_over: list[Callable[[], None]] = []
        self.control_lost = asyncio.Event()  # any of its sockets has closed since it was parked
        self._rest = Rest(switch.clock)
        self._messages: deque[Message] = deque()
        self._digits: deque[str] = deque()
        self._locked = False
        self._broken = False
        self._depth = 0  # of messages being obeyed, one inside the other
        self._stops_messages = False
        self._move: Move | None = None
        self._task: asyncio.Task[None] | None = None
        self._only = list(only)
        self._last = "", ""  # application and argument

    # --- what others may do to it -----------------------------------------------------------------------------------
    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def ready(self) -> bool:
        """False once the running application has to return."""
        return not self.channel.is_hung_up and self._move is None

    @property
    def has_ended(self) -> bool:
        return self._task is not None and self._task.done()

    def post(self, message: Message) -> None:
        self._messages.append(message)
        self._rest.wake()

    def wake(self) -> None:
        self._rest.wake()

    def press(self, digit: str) -> None:
        """A key of the caller. It waits in the channel until an application that reads keys takes it."""
        if not self.channel.is_hung_up:
            self._digits.append(digit)
            self._rest.wake()

    def break_application(self, *, everything: bool) -> None:
        """Of what messages have started, the innermost application and all that it runs inside of."""
        if everything:
            self._messages.clear()
        self._stops_messages = self._depth > 0
        self.interrupt()

    def interrupt(self) -> None:
        """End what waits innermost, and nothing else."""
        self._broken = True
        self._rest.wake()

    def transfer(self, destination: str, dialplan: str, context: str) -> None:
        if not self.channel.may_move():
            self.hang_up("EXCHANGE_ROUTING_ERROR")
            return
        self._move = move = Move(destination, dialplan, context or self.channel.identity.context)
        now_s = self.switch.clock.now_s()
        source = f"{int(now_s)}:{uuid.uuid4()}:bl_xfer:{move.destination}/{move.context}/{move.dialplan}"
        self.channel.move(move, now_s, source)
        self._rest.wake()

    def eject(self) -> None:
        """A socket of the call closed under `socket_resume`: what runs is cut, whoever owns the call by now."""
        if self._move is None and not self.channel.is_hung_up:
            self._move = Move()
            self._rest.wake()

    def hang_up(self, cause: str) -> None:
        channel = self.channel
        if channel.is_hung_up:
            return
        self._take_back(channel)
        channel.hangup_cause = cause
        channel.state = ChannelState.HANGUP
        self.switch.fire("CHANNEL_HANGUP", channel)
        channel.hangup_s = self.switch.clock.now_s()
        self.far_end.on_hung_up(cause)
        self._rest.wake(at_once=True)

    def caller_hangs_up(self) -> None:
        """Their own BYE."""
        self.channel.caller_went = self.channel.caller_went or not self.channel.is_hung_up
        self.hang_up("NORMAL_CLEARING")

    def put_on_hold(self, *, held: bool) -> None:
        """Their telephone's re-INVITE, as switch_channel_mark_hold tells of it: no frame of theirs reaches an audio stream until
        it is taken back, and what runs goes on. In a call that has moved since, nothing tells of the end: no CHANNEL_UNHOLD."""
        channel = self.channel
        if channel.is_hung_up or channel.leg_holding is held:
            return
        offer = channel.get("switch_r_sdp").removesuffix(HOLDS)
        channel.set("switch_r_sdp", offer + HOLDS if held else offer)
        if held:
            channel.leg_holding = channel.hold_is_marked = True
            self._call_state("HELD")
            self.switch.fire("CHANNEL_HOLD", channel)
        else:
            self._take_back(channel)
            self._call_state("ACTIVE")

    def _take_back(self, channel: Channel) -> None:
        """Also before a call ends, while it is still answered."""
        if channel.leg_holding:
            channel.leg_holding = False
            self._call_state("UNHELD")
            if channel.hold_is_marked:
                self.switch.fire("CHANNEL_UNHOLD", channel)

    def _call_state(self, state: str) -> None:
        original, self.channel.call_state = self.channel.call_state, state
        self.switch.fire("CHANNEL_CALLSTATE", self.channel, lead=(("Original-Channel-Call-State", original),))

    # --- running ----------------------------------------------------------------------------------------------------
    async def _run(self) -> None:
        try:
            await self._dialplan()
            if self.audio_stream is not None:
                # As on the real switch: the audio's peer knows of the end before the call's own socket is told.
                await self.audio_stream.end_with_call()
        finally:
            self._finish()

    async def _dialplan(self) -> None:
        while not self.channel.is_hung_up:
            self._move = None
            self._enter(ChannelState.ROUTING)
            actions, self._only = self._only or self.switch.route(self), []
            if actions is None:
                self.hang_up("NO_ROUTE_DESTINATION")
                return
            self._enter(ChannelState.EXECUTE)
            await self._actions(actions)
            if self._move is None:
                self.hang_up("NORMAL_CLEARING")  # the dialplan ran out

    async def _actions(self, actions: list[Action]) -> None:
        for action in actions:
            await self.execute(action.application, action.data)
            if self._move is not None and not self._move.destination:
                await self.hold(lambda: self._move is not None and bool(self._move.destination), stranded=True)
            if not self.ready():
                return

    async def hold(self, over: Callable[[], bool], *, stranded: bool = False) -> None:
        """Stand still, obeying nothing, until ``over``, a hang-up or (unless ``stranded``) a move.

        Stranded is what becomes of a call whose socket's owner went (CS_RESET) while no async `socket` ran that would
        take it on: only a transfer or a hang-up frees it.
        """
        while not over() and not self.channel.is_hung_up and (stranded or self._move is None):
            await self._rest.until_woken()

    def go_on(self) -> None:
        """An async `socket` that is left takes a call whose owner went to the next action of its dialplan."""
        if self._move is not None and not self._move.destination:
            self._move = None

    def _enter(self, state: ChannelState) -> None:
        channel = self.channel
        channel.state = channel.running_state = state
        channel.hold_is_marked = False
        channel.call_state = "RINGING" if state is ChannelState.ROUTING else "ACTIVE"
        self.switch.fire("CHANNEL_STATE", channel)

    async def execute(self, application: str, argument: str, *, event_uuid: str = "") -> None:
        """Run one application, with its two events. An unknown one hangs the call up, and has no events."""
        runner = self.switch.application(application)
        if runner is None:
            self.channel.set("app_uuid", event_uuid)  # only an application that runs consumes it
            self.hang_up("DESTINATION_OUT_OF_ORDER")
            return
        channel = self.channel
        argument = self.switch.expand(self, argument)
        execution = Execution(channel, application, argument, event_uuid)
        channel.set("current_application_response", None)
        channel.set("current_application_data", argument)
        channel.set("current_application", application)
        self._last = application, argument
        self._broken = False
        self.switch.fire("CHANNEL_EXECUTE", channel, execution.begun)
        await runner(self, argument)
        self.switch.fire("CHANNEL_EXECUTE_COMPLETE", channel, execution.over)

    async def wait(
        self, duration_s: float | None, *, on_digit: Callable[[str], bool] | None = None, breaks: bool = True
    ) -> tuple[Waited, float]:
        """Read frames for ``duration_s`` (None: until interrupted), running messages in between.

        Returns why it ended and how much time is left: time spent in nested applications does not count.
        ``on_digit`` takes keys off the line and says whether to stop; without it they stay for the next reader.
        """
        left_s = duration_s
        while self.ready():
            if self._broken and breaks:
                self._broken = False
                return Waited.BROKEN, left_s or 0.0
            if self._messages and not self._locked:
                await self.obey(self._messages.popleft())
                continue
            if on_digit is not None and self._digits:
                if on_digit(self._take_digit()):
                    return Waited.DIGIT, left_s or 0.0
                continue
            if left_s is not None and left_s <= 0:
                return Waited.ELAPSED, 0.0
            left_s = await self._rest.frames(left_s)
        return Waited.OVER, left_s or 0.0

    async def wait_until(self, over: asyncio.Event) -> None:
        """Park: take keys and messages until the call moves or ``over`` is set (whoever sets it calls :meth:`wake`)."""
        while self.ready() and not over.is_set():
            if self._messages and not self._locked:
                await self.obey(self._messages.popleft())
            elif self._digits:
                self._take_digit()
            else:
                await self._rest.frames(None)

    async def obey(self, message: Message) -> None:
        """Do what a `sendmsg` says, on the call's own thread."""
        if message.command == "execute":
            locked, self._locked = self._locked, self._locked or message.lock
            self._depth += 1
            self._stops_messages = False
            try:
                await self._loop(message)
            finally:
                self._depth -= 1
                self._locked = locked
                self.channel.set("current_loop", None)
                self.channel.set("total_loops", None)
            if self._stops_messages:
                self._broken = True
        elif message.command == "hangup":
            self.hang_up(message.cause or "NORMAL_CLEARING")
        self.switch.fire("PRIVATE_COMMAND", self.channel, lead=message.raw, body=message.body)

    async def _loop(self, message: Message) -> None:
        """``loops`` times, unless it is over in half a second: FreeSWITCH takes that for a failure."""
        for number in range(1, max(1, message.loops) + 1):
            self.channel.set("current_loop", str(number))
            self.channel.set("total_loops", str(message.loops))
            began_s = self.switch.clock.now_s()
            await self.execute(message.application, message.argument, event_uuid=message.event_uuid)
            if not self.ready() or self._stops_messages or self.switch.clock.now_s() - began_s < _LEAST_LOOP_S:
                return

    def _take_digit(self) -> str:
        digit = self._digits.popleft()
        self.channel.digits_dialed += digit
        extra = (("DTMF-Digit", digit), ("DTMF-Duration", _DTMF_SAMPLES), ("DTMF-Source", "APP"))
        self.switch.fire("DTMF", self.channel, extra)
        return digit

    def respond(self, response: str) -> None:
        self.channel.set("current_application_response", response)

    def _finish(self) -> None:
        channel, fire = self.channel, self.switch.fire
        if not channel.is_hung_up:
            self.hang_up("MANAGER_REQUEST")  # the switch itself is stopping
        channel.running_state = ChannelState.HANGUP
        fire("CHANNEL_STATE", channel)
        original, channel.call_state = channel.call_state, "HANGUP"
        extra = (("Original-Channel-Call-State", original), ("Channel-Call-State-Number", "7"))
        fire("CHANNEL_CALLSTATE", channel, lead=extra)
        channel.state = channel.running_state = ChannelState.REPORTING
        fire("CHANNEL_STATE", channel)
        channel.variables |= record_variables(channel, *self._last)
        fire("CHANNEL_HANGUP_COMPLETE", channel, lead=(("Hangup-Cause", channel.hangup_cause),))
        self.switch.remove(self)
        for callback in self.on_over:
            callback()


Application = Callable[[Session, str], Awaitable[None]]
