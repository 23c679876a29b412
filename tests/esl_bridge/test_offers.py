"""Calls that the chain offers to a bridge which stands still: what another has by now is left alone, and its socket left open."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esl_bridge.calls.ownership import TIMER_S
from esl_bridge.session import HANDSHAKE_S
from tests.esl_bridge.test_bridge import UUID, Peer, Running, answer, channel_data, event
from tests.stack import ROOT

OFFERED = channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200\nvariable_ll_hops: x")
IN_MENU = re.sub(rb"Caller-Destination-Number: \S+", b"Caller-Destination-Number: ll-lr-demo-1", OFFERED)
ANOTHERS = OFFERED.replace(b"variable_ll_hops: x", b"variable_ll_holder: bridge-2%3A1\nvariable_ll_owner: bridge-2%3A1")
# Told some seconds later: by then the visit is as old.
STILL = re.sub(rb"(?<=Event-Date-Timestamp: )\d+", lambda found: b"%d" % (int(found[0]) + 10_000_000), OFFERED)
GOOD_BYE = b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n"
ASKED = f"api uuid_dump {UUID}\n\n".encode()
TAKEN = b"ll_owner=bridge-1:1"


@pytest.fixture
async def bridge(tmp_path: Path, durable_redis: str, volatile_redis: str) -> AsyncIterator[Running]:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"], max_calls=1)
    yield running
    await running.close()


async def offer(bridge: Running) -> Peer:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    return peer


async def offer_left_unread(bridge: Running, unread_s: float) -> Peer:
    """Until the bridge has asked again."""
    peer = await offer(bridge)
    bridge.skip(unread_s)
    peer.writer.write(OFFERED)
    await peer.until(ASKED)
    assert peer.sent == b"connect\n\n" + ASKED
    return peer


async def is_left_alone(bridge: Running, peer: Peer) -> bool:
    """Nothing more is said to it, and the bridge does not close it: the switch does, at the end of the call."""
    already = peer.sent
    peer.writer.write(event("PLAYBACK_START", "bridge-2:1", "Playback-File-Path: /prompts/theirs.wav\n"))
    # By the second it has read what came before the first.
    for _ in range(2):
        await (await offer(bridge)).leave()
    assert not peer.reader.at_eof()
    peer.writer.write(GOOD_BYE)
    return await peer.closed() and peer.sent == already and bridge.journalled() == []


@pytest.mark.parametrize("has_it", [ANOTHERS, IN_MENU], ids=["another bridge", "the switch's own menu"])
async def test_a_call_that_was_offered_before_a_stall_and_has_another_holder_since_is_not_taken(
    bridge: Running, has_it: bytes
) -> None:
    """The kernel accepts connections for a frozen bridge; when it wakes, those calls are long with another."""
    peer = await offer(bridge)
    peer.writer.write(has_it)
    assert await is_left_alone(bridge, peer)


async def test_a_call_that_another_has_is_not_closed_by_a_bridge_that_is_full(bridge: Running) -> None:
    """To close it would take the call from its owner."""
    peer = await offer(bridge)
    others = []
    for number in range(2):
        other = await offer(bridge)
        others.append(other)
        other.writer.write(OFFERED.replace(UUID.encode(), f"{number:08d}{UUID[8:]}".encode()))
        await other.until(b"execute-app-name")
    peer.writer.write(ANOTHERS)
    await bridge.has_read_of(UUID)
    for other in others:
        await other.leave()
    await bridge.has_guests(1)
    assert await is_left_alone(bridge, peer)


NOT_OURS = [
    ANOTHERS, IN_MENU, STILL.replace(b"ll_hops: x", b"ll_hops: xxxxx"),
    STILL.replace(b"ll_hops: x", b"ll_hops: x\nvariable_ll_owner: bridge-2%3A1"), OFFERED,
]  # fmt: skip
IDS = ["another bridge", "the switch's own menu", "a later visit", "after another bridge", "a visit that has just begun"]


@pytest.mark.parametrize("now", NOT_OURS, ids=IDS)
async def test_an_offer_that_was_left_unread_is_asked_about_again_and_a_call_that_another_has_is_left_alone(
    bridge: Running, now: bytes
) -> None:
    """Whoever stood still between `connect` and its answer reads how the call was when it asked."""
    peer = await offer_left_unread(bridge, 5.5)
    peer.writer.write(answer(now.decode() + "\n"))
    assert await is_left_alone(bridge, peer)


async def test_what_the_switch_says_of_a_visit_that_began_after_its_connection_is_no_offer(
    bridge: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited in the kernel's queue until the dialplan had given the call to the next, which has not yet said its name."""
    monkeypatch.setattr("esl_bridge.session.queued_s", lambda _transport: 5.1)
    peer = await offer(bridge)
    peer.writer.write(OFFERED)
    assert await is_left_alone(bridge, peer)


def test_a_switch_has_longer_for_its_answer_than_the_chain_needs_to_give_the_call_to_others_twice() -> None:
    """Of hundreds that move at once some are answered late. To close the connection takes a call from whoever has it by then."""
    chain = (ROOT / "deploy/freeswitch/dialplan/lifeline.xml").read_text()
    (timer_s,) = re.findall(r'application="sched_transfer" data="\+(\d+) ll-silent', chain)
    assert 2 * (int(timer_s) + TIMER_S) < HANDSHAKE_S


async def test_an_offer_that_was_left_unread_and_still_stands_is_taken(bridge: Running) -> None:
    peer = await offer_left_unread(bridge, 2.8)
    peer.writer.write(answer(STILL.decode() + "\n"))
    await peer.until(TAKEN)
    await peer.leave()


async def test_a_switch_that_is_slow_to_answer_is_asked_again_once_and_its_call_taken(bridge: Running) -> None:
    """It is not we who stood still; the call's timer would give it to nobody who is asked any sooner."""
    peer = await offer_left_unread(bridge, 2.8)
    bridge.skip(2.8)
    peer.writer.write(answer(STILL.decode() + "\n"))
    await peer.until(TAKEN)
    await peer.leave()


async def test_an_answer_that_was_left_unread_as_well_is_no_better(bridge: Running) -> None:
    peer = await offer_left_unread(bridge, 2.8)
    bridge.skip(4.0)
    peer.writer.write(answer(STILL.decode() + "\n"))
    await peer.until(ASKED + ASKED)
    peer.writer.write(answer(ANOTHERS.decode() + "\n"))
    assert await is_left_alone(bridge, peer)


async def test_an_offer_that_is_read_in_time_costs_no_question(bridge: Running) -> None:
    peer = await offer(bridge)
    bridge.skip(2.4)
    peer.writer.write(OFFERED)
    await peer.until(TAKEN)
    assert b"uuid_dump" not in peer.sent
    await peer.leave()


@pytest.mark.parametrize(("unread_s", "told"), [(2.8, ["CallStarted", "CallEnded"]), (5.5, [])])
async def test_a_caller_who_went_while_the_offer_was_unread_is_told_of_if_no_other_can_have_had_them(
    bridge: Running, unread_s: float, told: list[str]
) -> None:
    peer = await offer_left_unread(bridge, unread_s)
    peer.writer.write(answer("-ERR No such channel!\n"))
    peer.writer.write(GOOD_BYE)
    assert await peer.closed()
    made = [type(one).__name__ for one in bridge.journalled()]
    assert made[:1] + made[1:][-1:] == told
