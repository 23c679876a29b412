"""Calls by SIP with audio: what a telephone on the other side of a real switch hears, and what the figures say of it.

``FREESWITCH_SIP`` is where the switch is rung, ``FREESWITCH_NUMBER`` what is dialled there to arrive in the chain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from esl_bridge.calls.ownership import TIMER_S
from esl_bridge.control import SwitchControl
from espeak.voice import render
from tests.conformance.sip_agent import SipAgent, sip_agent
from tests.freeswitch.conftest import ESL
from tests.freeswitch.figures import newest_call, over, people_joined, turns_begun, until
from tests.freeswitch.g711 import RATE_HZ
from tests.freeswitch.telephone import Telephone
from tests.freeswitch.test_whole_calls import api
from tests.stack import Stack

pytestmark = [
    pytest.mark.freeswitch,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ESL, reason="no real switch: set FREESWITCH_ESL=host:port:password"),
]
NUMBER = os.environ.get("FREESWITCH_NUMBER", "9200")
WORDS_A_MINUTE = 140
# A turn's budget and half a second more: the longest that a caller of a failing AI may hear nothing.
LONGEST_SILENCE_S = 4.5
FAILURES = ("ai_failures_failed_over", "ai_failures_dropped", "ai_failures_recovered")


def speech(words: str) -> bytes:
    return render(words, rate_wpm=WORDS_A_MINUTE, sample_rate_hz=RATE_HZ)


def telephone(number: str = "1000", name: str = "caller") -> Telephone:
    host, _, port = os.environ.get("FREESWITCH_SIP", "127.0.0.1:5060").rpartition(":")
    return Telephone((host, int(port)), host=os.environ.get("FREESWITCH_LISTEN", "127.0.0.1"), number=number, name=name)


@pytest.fixture(autouse=True, scope="module")
def reachable(stack: Stack) -> None:
    """A switch that wants a password, or knows no such number, is not what these tests are about."""
    with telephone() as phone:
        phone.dial(NUMBER, wait=False)
        stack.until(lambda: phone.over.is_set() or phone.answered.is_set(), "an answer")
        if not phone.answered.is_set():
            pytest.skip(f"the switch refuses {NUMBER} with {phone.answers[-1]}: set FREESWITCH_SIP and FREESWITCH_NUMBER")
    over(stack)


def end(stack: Stack, phone: Telephone, before: dict[str, int], *names: str) -> None:
    """Hang up; only the named figures may have risen."""
    if not phone.over.is_set():
        phone.hang_up()
    after = over(stack)
    for name in FAILURES:
        assert after[name] == before[name] + (name in names), name


@contextlib.contextmanager
def person(host: str, port: int) -> Iterator[SipAgent]:
    """Somebody who answers there, on a loop of their own, for a telephone's tests wait in threads."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[SipAgent] = []

    async def there() -> None:
        async with sip_agent(host, port) as agent:
            found.append(agent)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(there()), daemon=True)
    thread.start()
    assert ready.wait(5.0), "nobody could be placed there"
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(5.0)
        loop.close()


def bridge_answers(stack: Stack) -> None:
    """A killed one is started again, and takes calls a moment later."""
    port = int(stack.state["LIFELINE_ESL_PORT"])

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        return False

    stack.until(listens, "the bridge listens")


def served(stack: Stack, by: str, before: dict[str, int]) -> None:
    until(stack, lambda figures: figures[by] == before[by] + 1, f"{by} rises")


def asks_for_the_balance(stack: Stack, phone: Telephone, before: dict[str, int]) -> None:
    """Speaks, is understood, keys the number, is served, and hangs up."""
    phone.say(speech("what is my balance"))
    phone.is_told_something(since_s=phone.now_s())
    phone.hears_silence(1.0)
    phone.press("4217#")
    served(stack, "served_by_ai", before)
    end(stack, phone, before)


@pytest.mark.parametrize("codec", [0, 8], ids=["PCMU", "PCMA"])
def test_a_caller_who_speaks_is_understood_has_the_number_read_back_and_is_served(stack: Stack, tmp_path: Path, codec: int) -> None:
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER, codec=codec)
        phone.hears_silence(1.0)
        phone.say(speech("what is my balance"))
        asked_s = phone.is_told_something(since_s=phone.hears_silence(0.5))
        phone.hears_silence(1.0)
        phone.say(speech("four two one seven"))
        phone.is_told_something(since_s=phone.now_s())
        phone.hears_silence(1.0)
        phone.say(speech("yes"))
        served(stack, "served_by_ai", before)
        phone.save(tmp_path / "heard.wav")
        assert asked_s > 0
        end(stack, phone, before)


# FreeSWITCH passes INFO over unless its profile has liberal-dtmf.
@pytest.mark.parametrize(
    "how",
    ["event", pytest.param("info", marks=pytest.mark.skipif("FREESWITCH_INFO" not in os.environ, reason="set FREESWITCH_INFO=1"))],
)
def test_a_key_cuts_the_greeting_and_is_acted_on(stack: Stack, how: str) -> None:
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.press("1") if how == "event" else phone.press_by_info("1")
        pressed_s = phone.now_s()
        phone.hears_silence(1.5)
        for key in "4217":
            phone.press(key) if how == "event" else phone.press_by_info(key)
            phone.hears_silence(0.2)
        phone.press("#") if how == "event" else phone.press_by_info("#")
        served(stack, "served_by_ai", before)
        assert phone.longest_silence_s(0.0, pressed_s + 2.0) < 2.0
        end(stack, phone, before)


def test_speaking_into_the_greeting_cuts_it_and_is_understood(stack: Stack) -> None:
    before = stack.figures()
    turns = turns_begun(stack)
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.say(speech("what is my balance"))
        spoke_s = phone.now_s()
        last_s = phone.hears_silence(0.6)
        assert last_s - spoke_s < 2.0, "the greeting went on"
        phone.is_told_something(since_s=last_s)
        stack.until(lambda: turns_begun(stack) > turns, "a turn is recorded")
        end(stack, phone, before)


def test_no_rtp_from_the_caller_ends_in_the_menu_without_a_failure_of_the_switch(stack: Stack) -> None:
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER, speaks=False)
        phone.is_told_something()
        phone.hears_silence(1.0)
        phone.is_told_something(30.0, since_s=phone.now_s())
        phone.unmute()
        phone.press("0")
        phone.hears_silence(1.0)
        assert not phone.over.is_set()
        phone.hang_up()
        assert over(stack)["ai_failures_dropped"] == before["ai_failures_dropped"]


def test_hold_and_back_in_a_call_keeps_it(stack: Stack) -> None:
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.hold()
        stack.until(lambda: phone.answers.count(200) == 2, "the hold is accepted")
        phone.resume()
        stack.until(lambda: phone.answers.count(200) == 3, "and its end")
        phone.press("1")
        phone.is_told_something(since_s=phone.now_s())
        end(stack, phone, before)


def test_a_long_hold_is_nobodys_failure_and_the_question_is_put_again(stack: Stack) -> None:
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.hears_silence(1.0)
        phone.hold()
        stack.until(lambda: phone.answers.count(200) == 2, "the hold is accepted")
        phone.hears_silence(LONGEST_SILENCE_S)
        phone.resume()
        stack.until(lambda: phone.answers.count(200) == 3, "and its end")
        phone.is_told_something(since_s=phone.now_s())
        phone.hears_silence(1.0)
        phone.say(speech("what is my balance"))
        phone.is_told_something(since_s=phone.hears_silence(0.5))
        end(stack, phone, before)


@pytest.mark.parametrize("moment", ["greeting", "listening", "speaking", "thinking", "asked", "hold"])
def test_hanging_up_at_any_moment_is_no_failure(stack: Stack, moment: str) -> None:
    before = stack.figures()
    words = speech("what is my balance")
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        if moment != "greeting":
            phone.hears_silence(1.0)
        if moment == "hold":
            phone.hold()
            stack.until(lambda: phone.answers.count(200) == 2, "the hold is accepted")
        if moment in ("speaking", "thinking", "asked"):
            phone.say(words)
            said_s = phone.now_s() + len(words) / 2 / RATE_HZ
            stack.until(lambda: moment == "speaking" or phone.now_s() > said_s + 0.2, "the words are said")
        if moment == "asked":
            phone.is_told_something(since_s=phone.now_s())
        end(stack, phone, before)


def test_twenty_calls_at_once_are_twenty_calls(stack: Stack) -> None:
    before = stack.figures()
    with contextlib.ExitStack() as calls:
        phones = [calls.enter_context(telephone(f"47{number:02}")) for number in range(20)]
        for phone in phones:
            phone.dial(NUMBER, wait=False)
        for phone in phones:
            assert phone.answered.wait(5.0)
            phone.is_told_something()
        for phone in phones:
            phone.hang_up()
        after = over(stack)
    assert after["calls_total"] == before["calls_total"] + len(phones)
    for name in FAILURES:
        assert after[name] == before[name], name


@pytest.mark.parametrize(
    "name",
    ["Zoë “Łódź” ☎", "a,b;c'd", "${system(touch {mark})}", "${uuid} @{x} %{y} $${z}", "\\n\\r%0aEvent-Name: CHANNEL_HANGUP"],
    ids=["utf8", "separators", "command", "variables", "newlines"],
)
def test_a_strange_name_harms_nothing(stack: Stack, tmp_path: Path, name: str) -> None:
    before = stack.figures()
    mark = tmp_path / "ran"
    with telephone(name=name.replace("{mark}", str(mark))) as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.press("1")
        phone.is_told_something(since_s=phone.now_s())
        end(stack, phone, before)
    assert not mark.exists()


def test_two_calls_of_the_same_number_are_two_calls(stack: Stack) -> None:
    before = stack.figures()
    with telephone("4711") as one, telephone("4711") as other:
        one.dial(NUMBER)
        other.dial(NUMBER)
        one.is_told_something()
        other.is_told_something()
        until(stack, lambda figures: figures["live_calls"] == 2, "both are live")
        one.hang_up()
        until(stack, lambda figures: figures["live_calls"] == 1, "one is over, the other is not")
        end(stack, other, before)


def test_an_ai_that_fails_in_a_call_is_followed_by_the_menu_within_the_budget(stack: Stack, tmp_path: Path) -> None:
    before = stack.figures()
    stack.manage("break_engine", "hang")
    try:
        with telephone() as phone:
            phone.dial(NUMBER)
            phone.hears_silence(1.0)
            words = speech("what is my balance")
            phone.say(words)
            ended_s = phone.now_s() + len(words) / 2 / RATE_HZ
            told_s = phone.is_told_something(since_s=ended_s - 0.5)
            phone.save(tmp_path / "heard.wav")
            assert told_s - ended_s < LONGEST_SILENCE_S
            until(stack, lambda figures: figures["ai_failures_failed_over"] == before["ai_failures_failed_over"] + 1, "the menu")
            phone.press("1")
            phone.hears_silence(1.5)
            phone.press("4217#")
            served(stack, "served_by_menu", before)
            end(stack, phone, before, "ai_failures_failed_over")
    finally:
        stack.manage("break_engine", "none")


def test_a_bridge_killed_in_a_prompt_is_not_the_end_of_the_call(stack: Stack, control: SwitchControl, tmp_path: Path) -> None:
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        stack.kill("bridge")
        killed_s = phone.now_s()
        told_s = phone.is_told_something(since_s=killed_s + 0.2)
        phone.save(tmp_path / "heard.wav")
        assert told_s - killed_s < 1.0
        assert not phone.over.is_set()
        phone.hang_up()
    after = until(stack, lambda figures: figures["live_calls"] == 0 and figures["ai_failures_open"] == 0, "it is settled", 150)
    assert sum(after[n] for n in FAILURES) == sum(before[n] for n in FAILURES) + 1


def test_a_frozen_bridge_loses_the_call_to_the_timer(stack: Stack, tmp_path: Path) -> None:
    bridge_answers(stack)
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        pid = int(stack.until(lambda: stack.status("bridge")["pid"], "the bridge runs"))
        os.kill(pid, signal.SIGSTOP)
        try:
            frozen_s = phone.now_s()
            last_s = phone.hears_silence(1.0)
            told_s = phone.is_told_something(60.0, since_s=last_s)
        finally:
            os.kill(pid, signal.SIGCONT)
        phone.save(tmp_path / "heard.wav")
        assert not phone.over.is_set()
        assert told_s - frozen_s < TIMER_S + 0.5
        phone.hang_up()
    until(stack, lambda figures: figures["live_calls"] == 0 and figures["ai_failures_open"] == 0, "it is settled", 150)


def test_a_very_long_number_is_refused_and_harms_nobody(stack: Stack) -> None:
    with telephone() as phone:
        phone.dial("9" * 900, wait=False)
        stack.until(lambda: phone.over.is_set() or phone.answered.is_set(), "an answer")
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.hang_up()
        over(stack)


def test_giving_up_at_once_is_no_failure(stack: Stack) -> None:
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        end(stack, phone, before)


def test_rtp_that_begins_late_is_understood(stack: Stack) -> None:
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER, speaks=False)
        phone.hears_silence(1.0)
        phone.unmute()
        asks_for_the_balance(stack, phone, before)


def test_a_person_who_passes_the_caller_on_does_not_lose_them(stack: Stack) -> None:
    bridge_answers(stack)
    port = int(os.environ.get("FREESWITCH_AGENT_PORT", "5090"))
    before = stack.figures()
    with person(os.environ.get("FREESWITCH_LISTEN", "127.0.0.1"), port) as agent, telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.press("0")
        stack.until(lambda: agent.rung == ["agent"], "the person is there", 15)
        phone.hears_silence(1.0)
        agent.pass_on("colleague")
        stack.until(lambda: agent.rung == ["agent", "colleague"], "their colleague is rung")
        phone.hears_silence(1.0)
        assert not phone.over.is_set()
        agent.pass_on("*12")
        # Nobody's name: the caller is asked what else they want.
        phone.is_told_something(since_s=phone.now_s())
        end(stack, phone, before)


@pytest.mark.parametrize("rings", ["180 Ringing", "183 Session Progress"])
def test_a_telephone_that_rings_is_no_person_and_the_caller_hears_it_ring(stack: Stack, rings: str) -> None:
    bridge_answers(stack)
    port = int(os.environ.get("FREESWITCH_AGENT_PORT", "5090"))
    before, joined = stack.figures(), people_joined(stack)
    with person(os.environ.get("FREESWITCH_LISTEN", "127.0.0.1"), port) as agent, telephone() as phone:
        agent.status = rings
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.press("0")
        stack.until(lambda: agent.rung, "the person's telephone rings", 15)
        rung_s = phone.now_s()
        # Our own tone, twice: one of them is not the end of a prompt.
        first_s = phone.is_told_something(since_s=rung_s + 1.0)
        phone.is_told_something(since_s=first_s + 4.0)
        agent.answer("486 Busy Here")
        phone.is_told_something(since_s=phone.now_s() + 0.5)
        end(stack, phone, before)
    assert people_joined(stack) == joined


def test_a_person_s_telephone_that_answers_nothing_leaves_no_silence(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even "trying": it is switched off, or away."""
    bridge_answers(stack)
    port = int(os.environ.get("FREESWITCH_AGENT_PORT", "5090"))
    before, joined = stack.figures(), people_joined(stack)
    invited = threading.Event()
    monkeypatch.setattr(SipAgent, "datagram_received", lambda *_: invited.set())
    with person(os.environ.get("FREESWITCH_LISTEN", "127.0.0.1"), port), telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.press("0")
        assert invited.wait(15.0)
        invited_s = phone.now_s()
        first_s = phone.is_told_something(since_s=invited_s + 1.0)
        phone.is_told_something(since_s=first_s + 4.0)
        end(stack, phone, before)
    assert people_joined(stack) == joined


def joined_by_an_operator(stack: Stack, phone: Telephone, agent: SipAgent, *, callers_leg_first: bool) -> float:
    """`uuid_bridge` in a call that waits for its caller. When, for the telephone."""
    phone.dial(NUMBER)
    phone.hears_silence(1.0)
    call_uuid, leg = newest_call(stack, live=True)["call_uuid"], str(uuid.uuid4())
    api(f"originate {{origination_uuid={leg}}}sofia/internal/{agent.address} &park")
    api(f"uuid_bridge {call_uuid} {leg}" if callers_leg_first else f"uuid_bridge {leg} {call_uuid}")
    return phone.now_s()


def test_a_caller_whom_an_operator_joins_to_a_person_hears_nothing_of_us_until_that_is_over(
    stack: Stack, control: SwitchControl
) -> None:
    """`uuid_bridge`, with the bridge's socket still open."""
    bridge_answers(stack)
    port = int(os.environ.get("FREESWITCH_AGENT_PORT", "5090"))
    before, joined = stack.figures(), people_joined(stack)
    with person(os.environ.get("FREESWITCH_LISTEN", "127.0.0.1"), port) as agent, telephone() as phone:
        joined_s = joined_by_an_operator(stack, phone, agent, callers_leg_first=True)
        # Longer than a caller's silence is borne, and than any timer takes.
        phone.hears_silence(joined_s + 13.0 - max(frame.at_s for frame in phone.heard if frame.loud))
        assert len(control.channels()) == 2
        agent.bye()
        phone.is_told_something(since_s=joined_s)
        end(stack, phone, before)
    assert people_joined(stack) == joined + 1


def test_a_call_that_an_operator_moves_away_hears_nothing_more_of_us_and_stays_there(stack: Stack) -> None:
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        api(f"uuid_transfer {newest_call(stack, live=True)['call_uuid']} sleep:12000,hangup inline")
        moved_s = phone.now_s()
        stack.until(phone.over.is_set, "the other place ends the call", 20)
        assert 11.0 < phone.now_s() - moved_s < 14.0
        assert not any(frame.loud for frame in phone.heard if frame.at_s > moved_s + 0.1)
        end(stack, phone, before)
    assert newest_call(stack)["ended_by"] == "switch"


def test_what_an_operator_plays_to_a_caller_outlives_every_bridge(stack: Stack) -> None:
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        tone = "playback:tone_stream://%(400\\,100\\,440);loops=40"
        api(f"uuid_transfer {newest_call(stack, live=True)['call_uuid']} {tone},hangup inline")
        moved_s = phone.is_told_something(since_s=phone.now_s()) + 2.0
        stack.until(lambda: phone.now_s() > moved_s, "it has settled there")
        stack.kill("bridge")
        killed_s = phone.now_s()
        bridge_answers(stack)
        stack.until(lambda: phone.now_s() > killed_s + 4.0, "what a stranded call does not hear")
        assert phone.longest_silence_s(killed_s - 1.0, killed_s + 4.0) < 0.5
        phone.hang_up()
    after = until(stack, lambda figures: figures["live_calls"] == 0 and figures["ai_failures_open"] == 0, "it is settled", 150)
    assert after["ai_failures_failed_over"] == before["ai_failures_failed_over"]


@pytest.mark.parametrize("command", ["uuid_kill", "uuid_media_reneg"])
def test_an_end_of_the_switch_s_own_is_recorded_as_such(stack: Stack, command: str) -> None:
    """A renegotiation, as our telephone answers it without an offer of its own, has the SIP stack itself end the call."""
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.answers_offers = False
        api(f"{command} {newest_call(stack, live=True)['call_uuid']}")
        stack.until(phone.over.is_set, "the switch hangs up", 10)
        end(stack, phone, before)
    assert newest_call(stack)["ended_by"] == "switch"


def test_a_conversation_with_a_person_outlives_every_bridge_and_nothing_is_heard_of_it(
    stack: Stack, control: SwitchControl
) -> None:
    bridge_answers(stack)
    port = int(os.environ.get("FREESWITCH_AGENT_PORT", "5090"))
    before = stack.figures()
    with person(os.environ.get("FREESWITCH_LISTEN", "127.0.0.1"), port) as agent, telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.press("0")
        stack.until(lambda: len(control.channels()) == 2, "the person is there", 15)
        phone.hears_silence(1.0)
        stack.kill("bridge")
        killed_s = phone.now_s()
        bridge_answers(stack)
        # As long as any timer of the dead bridge could take.
        phone.hears_silence(7.0)
        assert len(control.channels()) == 2
        assert not any(frame.loud for frame in phone.heard if frame.at_s > killed_s)
        assert not agent.over.is_set()
        phone.hang_up()
        stack.until(agent.over.is_set, "the person's leg ends with the caller")
    after = until(stack, lambda figures: figures["live_calls"] == 0 and figures["ai_failures_open"] == 0, "it is settled", 150)
    for name in FAILURES:
        assert after[name] == before[name], name
