"""A person, their telephone and the caller's: other codecs, holds on either side, whoever hangs up first."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from esl_bridge.control import SwitchControl
from tests.conformance.sip_agent import SipAgent
from tests.freeswitch.figures import newest_call, people_joined, until
from tests.freeswitch.telephone import Telephone
from tests.freeswitch.test_telephone_calls import NUMBER, bridge_answers, end, joined_by_an_operator, person, pytestmark, telephone
from tests.freeswitch.test_whole_calls import api
from tests.stack import Stack

__all__ = ["pytestmark"]
PCMU, PCMA = 0, 8


@pytest.fixture
def agent(stack: Stack) -> Iterator[SipAgent]:
    bridge_answers(stack)
    host, port = os.environ.get("FREESWITCH_LISTEN", "127.0.0.1"), int(os.environ.get("FREESWITCH_AGENT_PORT", "5090"))
    with person(host, port) as there:
        yield there


def is_put_through(stack: Stack, phone: Telephone, control: SwitchControl, *, codec: int = PCMU) -> None:
    phone.dial(NUMBER, codec=codec)
    phone.is_told_something()
    phone.press("0")
    stack.until(lambda: len(control.channels()) == 2, "the person is there", 15)
    phone.hears_silence(1.0)


@pytest.mark.parametrize(("theirs", "callers"), [("0", PCMA), ("8", PCMU)], ids=["PCMU", "PCMA"])
def test_a_person_whose_telephone_has_another_codec_than_the_caller_s_is_reached(
    stack: Stack, control: SwitchControl, agent: SipAgent, theirs: str, callers: int
) -> None:
    before, joined = stack.figures(), people_joined(stack)
    agent.codec = theirs
    with telephone() as phone:
        is_put_through(stack, phone, control, codec=callers)
        end(stack, phone, before)
    assert people_joined(stack) == joined + 1


def test_a_person_who_puts_the_caller_on_hold_and_hangs_up_does_not_take_them_along(
    stack: Stack, control: SwitchControl, agent: SipAgent
) -> None:
    before, joined = stack.figures(), people_joined(stack)
    with telephone() as phone:
        is_put_through(stack, phone, control)
        agent.hold()
        stack.until(lambda: "HELD" in api("show calls"), "the hold is known")
        left_s = phone.now_s()
        agent.bye()
        stack.until(agent.over.is_set, "the person has gone")
        phone.is_told_something(since_s=left_s + 0.2)
        assert not phone.over.is_set()
        end(stack, phone, before)
    assert people_joined(stack) == joined + 1


def test_a_caller_who_holds_a_person_and_comes_back_after_they_have_gone_is_spoken_to(
    stack: Stack, control: SwitchControl, agent: SipAgent
) -> None:
    before = stack.figures()
    with telephone() as phone:
        is_put_through(stack, phone, control)
        phone.hold()
        stack.until(lambda: phone.answers.count(200) == 2, "the hold is accepted")
        agent.bye()
        stack.until(lambda: len(control.channels()) == 1, "the person has gone")
        call_uuid = newest_call(stack, live=True)["call_uuid"]
        stack.until(lambda: ":2" in api(f"uuid_getvar {call_uuid} ll_owner"), "a bridge has the call again")
        phone.resume()
        stack.until(lambda: phone.answers.count(200) == 3, "and its end")
        phone.is_told_something(6.0, since_s=phone.now_s())
        end(stack, phone, before)


def test_a_caller_whose_call_came_to_another_owner_while_they_held_is_spoken_to_when_they_are_back(stack: Stack) -> None:
    """A move, as each change of bridges is one: from then on FreeSWITCH tells of no end of the hold."""
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.hears_silence(1.0)
        phone.hold()
        stack.until(lambda: phone.answers.count(200) == 2, "the hold is accepted")
        call_uuid = newest_call(stack, live=True)["call_uuid"]
        api(f"uuid_transfer {call_uuid} 9200 XML lifeline")
        stack.until(lambda: ":2" in api(f"uuid_getvar {call_uuid} ll_owner"), "another owner has the call")
        phone.resume()
        stack.until(lambda: phone.answers.count(200) == 3, "and its end")
        phone.is_told_something(6.0, since_s=phone.now_s())
        end(stack, phone, before, "ai_failures_recovered")


def test_a_conversation_to_which_an_operator_joins_the_caller_outlives_the_bridge(
    stack: Stack, control: SwitchControl, agent: SipAgent
) -> None:
    """`uuid_bridge` with the person's leg first: FreeSWITCH tells of it as their event, and hangs the caller up after them."""
    before = stack.figures()
    with telephone() as phone:
        joined_s = joined_by_an_operator(stack, phone, agent, callers_leg_first=False)
        phone.hears_silence(joined_s + 8.0 - max(frame.at_s for frame in phone.heard if frame.loud))
        killed = stack.status("bridge")["pid"]
        stack.kill("bridge")
        stack.until(lambda: stack.status("bridge")["pid"] not in (killed, None), "it is started again")
        bridge_answers(stack)
        assert len(control.channels()) == 2, "the death of the bridge is not theirs"
        assert not phone.over.is_set()
        phone.hang_up()
    until(stack, lambda figures: figures["live_calls"] == 0 and figures["ai_failures_open"] == 0, "it is settled", 150)
    assert stack.figures()["ai_failures_failed_over"] == before["ai_failures_failed_over"]


def test_a_caller_whose_telephone_allows_few_hops_is_not_hung_up_for_it(stack: Stack, agent: SipAgent) -> None:
    before = stack.figures()
    agent.status = "486 Busy Here"
    with telephone() as phone:
        phone.dial(NUMBER, forwards=6)
        phone.is_told_something()
        for _ in range(3):
            agent.rung.clear()
            phone.press("0")
            stack.until(lambda: agent.rung, "the person is rung", 15)
            phone.hears_silence(1.0)
            assert not phone.over.is_set()
        end(stack, phone, before)
