"""Whatever is said from outside, no command carries an expansion, a second line or an application nobody chose."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.messages import MediaConnected, SpeechEnded, TurnDone, TurnFailed, TurnReplying, TurnTaken
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.to_switch import SwitchSettings, to_switch
from esl_bridge.protocol.commands import Application
from esl_bridge.protocol.errors import UnsafeArgument
from simulator.wire import CommandParser
from tests.esl_bridge.calls.harness import UUID, Line

SWITCH = SwitchSettings("lifeline", "/prompts", "ws://127.0.0.1:8765/stream")
ATTACKS = ["${system(touch /x)}", "42${system(touch /x)}", "4217\n\nsendmsg\ncall-command: hangup", "x;ll_owner=me", "$${x}"]
words = st.one_of(st.sampled_from(ATTACKS), st.text(max_size=40))
KEPT = ("owner", "step", "mode", "intent", "incident", "visit", "flow", "slot_account", "lang")


def commands_of(line: Line) -> list[bytes]:
    sent = []
    for wanted in line.orders:
        try:
            sent += [command.data for command in to_switch(wanted, UUID, f"00000000-0001-{UUID}", "{}", SWITCH)]
        except UnsafeArgument:
            continue  # refused: the session logs it, and the call goes on
    return sent


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_word_from_outside_becomes_a_command(data: st.DataObject) -> None:
    say = lambda: data.draw(words)  # noqa: E731
    line = Line()
    kept = {name: say() for name in data.draw(st.sets(st.sampled_from(KEPT)))}
    line.tell(told.Connected(UUID, say(), say(), True, kept, say(), line.flow, told.AiUse.USABLE, at=line.began_at))
    line.tell(MediaConnected(UUID, say(), 1))
    line.hear_out()
    for _ in range(3):
        turns = line.all(order.PublishTurn)
        turn = turns[-1].turn if turns else 0
        line.tell(TurnTaken(UUID, turn, say(), 1.0))
        line.tell(SpeechEnded(UUID, turn, "vad"))
        slots = {"account": say(), say(): say()}
        if data.draw(st.booleans()):
            line.tell(TurnReplying(UUID, turn, 1, say(), data.draw(st.sampled_from(["balance", say()])), 0.9, slots, say(), 500))
        if data.draw(st.booleans()):
            line.tell(TurnDone(UUID, turn, say(), data.draw(st.sampled_from(["", "balance", say()])), 0.9, slots, say(), True, ()))
        else:
            line.tell(TurnFailed(UUID, turn, say(), say(), 4, (), say(), "balance", slots))
        line.tell(told.TimerArmed(say()))
        line.tell(told.ReplyFileReady(say()))
        line.tell(told.PlaybackStarted(say()))
        line.tell(told.KeyPressed(say()))
        line.hear_out()
        line.wait(1.0)
    applications = {application.value for application in Application}
    for sent in commands_of(line):
        assert b"${" not in sent
        (command,) = CommandParser().feed(sent)
        if command.line == "sendmsg" and command.get("call-command") == "execute":
            assert command.get("execute-app-name") in applications
        assert re.fullmatch(r"sendmsg|(api|bgapi) (uuid_|sched_)\S+ .*", command.line), command.line
