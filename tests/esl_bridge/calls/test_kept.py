"""What a call keeps on the switch for its heir: never more than the bound, and read back as it was, whatever was said.

The values go the way they go in life: a command's bytes, the switch's own reading of them, the encoded reply to ``connect``.
"""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.messages import Exchange
from callflows.definition.flow import Choice, FlowVersion, Slot, SlotKind
from callflows.definition.kept import (
    ALL_BYTES,
    BRIDGES_BYTES,
    HISTORY_BYTES,
    PREFIX,
    SLOT_BYTES,
    SLOT_PREFIX,
    STATE_BYTES,
    slot_bytes,
    slots_fit,
)
from esl_bridge.calls import call as call_module
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.actions_taken import ACTION_KEY, KEPT_MOST
from esl_bridge.calls.ask_next import NEXT_VARIABLE
from esl_bridge.calls.call import Call
from esl_bridge.calls.from_switch import connected, kept_variables
from esl_bridge.calls.history import HISTORY_LENGTH, PACKED_MOST, pack, unpack
from esl_bridge.calls.ownership import epoch_of
from esl_bridge.calls.talk import Talk
from esl_bridge.calls.to_switch import SwitchSettings, to_switch
from esl_bridge.journal.events import SlotCollected
from esl_bridge.protocol import commands
from esl_bridge.protocol.conversation import Conversation, Replied
from esl_bridge.protocol.messages import Event
from esl_bridge.sealing import Seal
from ivr_fallback import parity
from simulator.channel import Channel, Identity
from simulator.events import Event as Told
from simulator.expand import would_expand
from simulator.wire import CommandParser, encode_connect_reply
from tests.esl_bridge.calls.flow import demonstration, phrase
from tests.esl_bridge.calls.harness import UUID, Line

SWITCH = SwitchSettings("lifeline", "/prompts", "ws://127.0.0.1:8765/stream")
SEAL = Seal("a secret")
HOSTILE = ["${system(touch /x)}", "a;ll_owner=me:9", "x=1", "%0A%25", "line\nend\r\n\r\n", "it's \"so\" \\n", "🙈" * 60, "\x00\x1b"]
said = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=300))
histories = st.lists(st.builds(Exchange, st.sampled_from(["caller", "lifeline"]), said), max_size=9)
# As long as the definition of a flow lets names and values be.
LONG = "n" * 38
LONGEST_SLOTS = tuple(
    Slot(f"{LONG}{number:02}", SlotKind.CHOICE, "Slot", phrase("say it"), phrase("key it"),
         choices=(Choice("v" * 40, "1", "one"), Choice("w" * 40, "2", "two")))
    for number in range(14)
)  # fmt: skip


def long_flow() -> FlowVersion:
    """Everything at its longest that may be published: as many slots as fit."""
    most = LONGEST_SLOTS[: SLOT_BYTES // slot_bytes(LONGEST_SLOTS[0])]
    flow = demonstration()
    balance = replace_struct(flow.intents[0], name="i" * 40, slots=tuple(slot.name for slot in most))
    intents = (balance, *flow.intents[1:])
    return replace_struct(flow, slug="s" * 40, number=10**9 - 1, language="l" * 10, slots=most, intents=intents)


def replace_struct(value: Any, **changes: object) -> Any:
    return msgspec.structs.replace(value, **changes)


class KeptBySwitch:
    """The channel of one call, as a switch keeps it: what it is told by commands, what it tells in its next ``connect``."""

    def __init__(self) -> None:
        self.channel = Channel(Identity(), 0.0, 1, UUID)
        self._read = 0

    def take(self, line: Line) -> None:
        """Every variable that the call has ordered since."""
        for wanted in line.orders[self._read :]:
            if isinstance(wanted, order.KeepHistory):
                wanted = order.SetVariables(SEAL.variables(UUID, wanted.packed))
            if not isinstance(wanted, order.SetVariables):
                continue
            (command,) = to_switch(wanted, UUID, "", "", SWITCH)
            (read,) = CommandParser().feed(command.data)
            pairs = read.line.removeprefix(f"api uuid_setvar_multi {UUID} ")
            for pair in pairs.split(";"):
                name, _, value = pair.partition("=")
                assert not would_expand(value), value
                self.channel.set(name, value)
        self._read = len(line.orders)

    @property
    def size(self) -> int:
        ours = [(name, value) for name, value in self.channel.variables.items() if name.startswith(PREFIX)]
        return sum(len(name) + len(value.encode()) for name, value in ours)

    def connect(self) -> Event:
        """What an heir is told, encoded by the switch and read by our protocol."""
        headers = [("Event-Name", "CHANNEL_DATA"), ("Unique-ID", UUID), ("Answer-State", "answered")]
        headers += [(f"variable_{name}", value) for name, value in self.channel.variables.items() if value]
        conversation: Conversation[str] = Conversation()
        conversation.send(commands.connect(), "connect")
        (reply,) = conversation.receive(encode_connect_reply(Told("CHANNEL_DATA", (tuple(headers),)), mode="async", control="full"))
        assert isinstance(reply, Replied)
        return reply.message.event()


def heir(switch: KeptBySwitch, flow: FlowVersion) -> Line:
    channel = switch.connect()
    line = Line(flow, bridge_id="bridge-2")
    history = unpack(SEAL.opened(UUID, kept_variables(channel)))
    line.tell(connected(channel, flow, told.AiUse.USABLE, history=history, at=datetime.now(UTC)))
    return line


def talk_of(call: Call) -> Talk:
    assert call._talk is not None
    return call._talk


def state_of(call: Call) -> dict[str, object]:
    return {
        "slots": {name: value for name, value in call._progress.slots.items() if not call.flow.slot(name).sensitive},  # type: ignore[union-attr]
        "intent": call._progress.intent,
        "flow": (call.flow.slug, call.flow.number, call.flow.language),
        "visit": call._progress.actions._visit,
        "incident": call._incidents.open_id,
        "mode": call._progress.mode,
    }


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_call_is_kept_within_the_bound_and_comes_back_as_it_was(data: st.DataObject) -> None:
    flow = data.draw(st.sampled_from([demonstration(), long_flow()]))
    line, switch = Line(flow, bridge_id="b" * 64), KeptBySwitch()
    line.connect(kept={"owner": "other:99999998"} if data.draw(st.booleans()) else {})
    line.stream_up()
    for _ in range(data.draw(st.integers(1, 4))):
        line.hear_out()
        if line.call.ended or line.call._leaving.is_released:
            break
        if data.draw(st.booleans()) and talk_of(line.call)._turns.is_running:
            values = {slot.name: [choice.value for choice in slot.choices] or ["4217", "x", ""] for slot in flow.slots}
            slots = {name: data.draw(st.sampled_from(some)) for name, some in values.items()}
            intent = data.draw(st.sampled_from([flow.intents[0].name, "hours", "", "nothing"]))
            line.understood(intent, transcript=data.draw(said), slots=slots)
        elif data.draw(st.booleans()) and talk_of(line.call)._turns.is_running:
            line.turn_fails(intent=flow.intents[0].name)
        else:
            line.key(data.draw(st.sampled_from("0123456789*#")))
        switch.take(line)
        assert switch.size <= ALL_BYTES
    if line.call.ended or line.call._leaving.is_released:
        return  # a person has them, or it is over
    switch.take(line)
    before = state_of(line.call)
    history = talk_of(line.call)._turns.history if line.call._progress.mode.value == "ai" else ()

    after = heir(switch, flow)

    mine = state_of(after.call)
    assert after.call.epoch == line.call.epoch + 1 == epoch_of(after.call.owner)
    if not before["incident"]:
        before["incident"] = mine["incident"]  # its own, of the resume
    assert mine == before
    assert unpack(pack(history)) == after.call._progress.history
    switch.take(after)
    assert switch.size <= ALL_BYTES


@given(histories)
@settings(max_examples=150, deadline=None)
def test_the_oldest_of_the_history_goes_first_and_what_stays_is_unchanged(history: list[Exchange]) -> None:
    packed = pack(history)
    assert len(packed) <= PACKED_MOST
    variables = SEAL.variables(UUID, packed)
    assert sum(len(PREFIX + name) + len(value) for name, value in variables.items()) <= HISTORY_BYTES
    assert all(not would_expand(value) and value.isascii() for value in variables.values())
    back = unpack(SEAL.opened(UUID, variables))
    if len(back) == 1:
        # The newest, whole or its beginning.
        assert history[-1].who == back[0].who
        assert history[-1].words.startswith(back[0].words)
    elif back:
        assert list(back) == history[-len(back) :]
    else:
        assert history == []
    assert len(back) <= HISTORY_LENGTH


def test_of_words_that_cannot_be_made_shorter_the_newest_are_kept_within_the_bound() -> None:
    chance = random.Random(7)
    history = [Exchange("caller", "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(45))) for _ in range(6)]
    packed = pack(history)
    assert len(packed) <= PACKED_MOST
    kept = unpack(packed)
    assert 0 < len(kept) < 6
    assert list(kept) == history[-len(kept) :]
    (beginning,) = unpack(pack([Exchange("caller", history[0].words * 9 + "".join(map(chr, range(0x5000, 0x5400))))]))
    assert beginning.words
    assert (history[0].words * 9).startswith(beginning.words[:200])


def test_a_short_history_is_kept_whole() -> None:
    history = tuple(Exchange("caller" if n % 2 else "lifeline", f"this is what was said as number {n}") for n in range(6))
    assert unpack(SEAL.opened(UUID, SEAL.variables(UUID, pack(history)))) == history


def test_what_was_said_lies_on_the_switch_so_that_nobody_else_can_read_it() -> None:
    variables = SEAL.variables(UUID, pack([Exchange("caller", "my secret is kangaroo")]))
    assert SEAL.opened(UUID, variables)
    assert SEAL.opened("another-call", variables) == b""
    assert Seal("another secret").opened(UUID, variables) == b""
    for broken in ({}, {"said_1": "x"}, {"said_1": "ä"}, {"said_1": variables["said_1"][:-4] + "AAAA"}, {"said_2": "AAAA" * 20}):
        assert SEAL.opened(UUID, broken) == b""
    assert unpack(b"") == unpack(b"garbage") == unpack(b"\x03\x00") == ()


def test_it_is_taken_from_the_switch_once_the_menu_has_the_call() -> None:
    line, switch = Line(), KeptBySwitch()
    line.to_listening()
    line.understood("balance", transcript="what is my balance")
    switch.take(line)
    assert switch.channel.get("ll_said_1")
    line.hear_out()
    line.turn_fails()
    switch.take(line)
    assert not switch.channel.get("ll_said_1")


def test_the_next_owner_tells_the_model_what_was_said_before() -> None:
    line, switch = Line(), KeptBySwitch()
    line.to_listening()
    line.understood("balance", transcript="what is my balance")
    line.hear_out()
    switch.take(line)
    after = heir(switch, line.flow)
    after.stream_up()
    after.hear_out()
    assert Exchange("caller", "what is my balance") in after.all(order.PublishTurn)[-1].history


def test_the_shares_make_up_the_whole_and_the_longest_state_fits_its_own() -> None:
    assert STATE_BYTES + BRIDGES_BYTES + SLOT_BYTES + HISTORY_BYTES == ALL_BYTES
    owner = f"{'b' * 64}:{10**9 - 1}"
    call = "u" * 64
    keys = ",".join([f"{'i' * 40}:{'9' * 6}:{'f' * 8}"] * KEPT_MOST)
    longest = {
        "owner": owner, "holder": owner, "flow": f"{'s' * 40}:{10**9 - 1}", "lang": "l" * 10, "step": "anything_else_" + "n" * 40,
        "mode": "last_resort", "intent": "i" * 40, "visit": "9" * 6, "action": keys,
        "incident": f"{call}:{10**9 - 1}:999",
    }  # fmt: skip
    assert sum(len(PREFIX + name) + len(value) for name, value in longest.items()) <= STATE_BYTES
    # Which other bridges there are has a share of its own.
    assert set(longest) | {"said_1", "said_2", "hops", NEXT_VARIABLE} == _written_names()


def _written_names() -> set[str]:
    """Of every variable but the slots' that the calls' code writes: the list above must not forget one."""
    sources = [path.read_text() for path in Path(call_module.__file__).parent.glob("*.py")]
    written = [body for source in sources for body in re.findall(r"(?:SetVariables\(|mine = )\{(.*?)\}\)?", source)]
    names = {name for body in written for name in re.findall(r'"([a-z_0-9]+)":', body)}
    return names | {ACTION_KEY, NEXT_VARIABLE, "incident", "said_1", "said_2"}


def test_a_flow_whose_slots_cannot_be_kept_is_not_published_and_a_sensitive_one_takes_nothing() -> None:
    flow = replace_struct(demonstration(), slots=LONGEST_SLOTS)
    assert not slots_fit(flow)
    assert any(f"could take more than the {SLOT_BYTES} bytes" in problem.text for problem in parity.problems(flow))
    secret = replace_struct(flow, slots=tuple(msgspec.structs.replace(slot, sensitive=True) for slot in LONGEST_SLOTS))
    assert slots_fit(secret)
    assert slots_fit(long_flow())


def test_a_choice_that_no_switch_keeps_is_unset_rather_than_left_with_the_one_before() -> None:
    """Of a flow that was published before there was the rule."""
    slot = Slot("city", SlotKind.CHOICE, "City", phrase("say it"), phrase("key it"),
                choices=(Choice("graz", "1", "Graz"), Choice("köln am rhein", "2", "Cologne")))  # fmt: skip
    flow = demonstration()
    intent = replace_struct(flow.intents[0], slots=("city",))
    line, switch = Line(replace_struct(flow, slots=(*flow.slots, slot), intents=(intent, *flow.intents[1:]))), KeptBySwitch()
    switch.channel.variables["ll_slot_city"] = "graz"
    line.to_listening()
    line.turn_fails()
    line.hear_out()
    line.key(intent.digit)
    line.hear_out()
    line.key("2")
    switch.take(line)
    assert [one.name for one in line.journal(SlotCollected)] == ["city"]
    assert not switch.channel.variables.get("ll_slot_city")


def test_a_slot_beyond_the_bound_is_unset_rather_than_left_with_an_old_value() -> None:
    """Of a flow that was published before there was the rule."""
    flow = replace_struct(long_flow(), slots=LONGEST_SLOTS)
    flow = replace_struct(flow, intents=(replace_struct(flow.intents[0], slots=tuple(slot.name for slot in LONGEST_SLOTS)),))
    line, switch = Line(flow), KeptBySwitch()
    line.to_listening()
    line.understood(flow.intents[0].name, slots={slot.name: "v" * 40 for slot in LONGEST_SLOTS})
    switch.take(line)
    kept = {name for name, value in switch.channel.variables.items() if value and name.startswith(PREFIX + SLOT_PREFIX)}
    assert 0 < len(kept) < len(LONGEST_SLOTS)
    assert switch.size <= ALL_BYTES
