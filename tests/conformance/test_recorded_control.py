"""The recorder's scripts about timers, wrong commands, large values and the control port."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.client import Peer
from tests.conformance.lines import ControlledLine, Line, seconds
from tests.conformance.recorded import RecordedLine
from tests.conformance.script import TONES, assert_as_recorded, begin, finish

NOBODY = "00000000-0000-0000-0000-000000000000"


async def taken_away(line: Line, second: Peer, uuid: str) -> None:
    """The frozen app's call has come to its second socket, which ends it."""
    assert (await second.send("connect")).headers["Unique-ID"] == uuid
    await second.send("myevents")
    await second.hang_up()
    await second.until_closed()
    if isinstance(line, ControlledLine):
        over = await line.seen(uuid, "CHANNEL_HANGUP_COMPLETE")
        asked = next(m for m in line.events(uuid) if m.kind() == "CHANNEL_EXECUTE:playback")
        assert 1.9 <= seconds(over) - seconds(asked) <= 4.6


@pytest.mark.recording("dead-man")
async def test_a_transfer_by_the_clock_takes_the_call_from_a_frozen_app(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        first, uuid = await begin(line, peers, linger=False)
        assert await first.api(f"sched_transfer +3 {uuid} {line.again()}") == "+OK\n"
        await first.post("playback", f"{TONES}60")
        second = await peers.get()
        await taken_away(line, second, uuid)
    assert_as_recorded(line, "dead-man", first, second)


@pytest.mark.recording("dead-man-own-group")
async def test_timers_have_groups_and_ids_and_the_first_one_fires(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        first, uuid = await begin(line, peers, linger=False)
        timer = f"ll-{uuid} uuid_transfer {uuid} {line.again()}"
        added = await first.api(f"sched_api +4 {timer}")
        assert added.startswith("+OK Added: ")
        assert await first.api(f"sched_transfer +60 {uuid} {line.again()}") == "+OK\n"
        later = await first.api(f"sched_api +5 {timer}")
        assert int(later.removeprefix("+OK Added: ")) == int(added.removeprefix("+OK Added: ")) + 2
        await first.post("playback", f"{TONES}60")
        second = await peers.get()
        await taken_away(line, second, uuid)
    assert_as_recorded(line, "dead-man-own-group", first, second)


@pytest.mark.recording("dead-man-called-off")
async def test_a_timer_that_is_deleted_does_not_fire(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers)
        await line.second_begins()
        assert await peer.api(f"sched_transfer +2 {uuid} {line.again()}") == "+OK\n"
        await peer.execute("playback", f"{TONES}3")
        assert await peer.api(f"sched_del {uuid}") == "+OK Deleted: 1\n"
        await line.wait(2.5)
        assert await peer.api(f"uuid_exists {uuid}") == "true"
        assert peers.empty(), "nothing took it away"
        await finish(peer)
    assert_as_recorded(line, "dead-man-called-off", peer)


@pytest.mark.recording("errors")
async def test_errors(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers)

        async def reply(command: str) -> str:
            return (await peer.send(command)).headers["Reply-Text"]

        assert await reply("nonsense") == "-ERR command not found"
        assert await peer.api("nosuchcommand") == "-ERR nosuchcommand Command not found!\n"
        assert await peer.api(f"uuid_break {NOBODY}") == "-ERR No such channel!\n"
        message = "call-command: execute\nexecute-app-name: playback\nexecute-app-arg: x"
        assert await reply(f"sendmsg {NOBODY}\n{message}") == f"-ERR invalid session id [{NOBODY}]"
        assert await reply("sendmsg") == "+OK"
        assert await reply("getvar destination_number") != ""
        assert await reply("getvar no_such_variable") == "-ERR command not found"
        assert await peer.api(f"uuid_getvar {uuid} no_such_variable") == "_undef_"
        assert await peer.api(f"uuid_exists {uuid}") == "true"
        assert await reply("event plain NO_SUCH_EVENT") == "-ERR no keywords supplied"
        assert await reply("filter") == "-ERR command not found"
        assert await reply("divert_events on") == "+OK events diverted"
        assert await reply("noevents") == "+OK no longer listening for events"
        job = (await peer.send("bgapi status")).headers["Job-UUID"]
        assert await reply("event plain all") == "+OK event listener enabled plain"
        await peer.post("nosuchapp", "x")
        hung_up = await peer.until_kind("CHANNEL_HANGUP")
        await peer.until_kind("notice:linger")
        await peer.post("playback", "/no/such/file.wav")
        assert await reply("exit") == "+OK bye"
        await peer.until_closed()
    assert hung_up.headers["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
    jobs = [m for m in peer.received if m.event == "BACKGROUND_JOB" and m.headers["Job-UUID"] == job]
    assert len(jobs) in (0, 1)  # it may be over before the subscription
    assert not [m for m in peer.received if m.kind() == "CHANNEL_EXECUTE:nosuchapp"]
    assert_as_recorded(line, "errors", peer)


@pytest.mark.recording("unicode-and-large")
async def test_unicode_and_large_variables_are_in_every_event_from_then_on(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers)
        values = {
            "greeting": "Grüß Gott — 你好 😀",
            "multi": "line one\nline two: with colon\n\nblank above",
            "pct": "100%25 sure; a=b",
            "big": "x" * 70_000,
        }
        # What looks encoded is not encoded again, so it arrives decoded.
        arrives = values | {"pct": "100% sure; a=b"}
        for name, value in values.items():
            complete = await peer.execute("set", f"{name}={value}")
            assert complete.headers[f"variable_{name}"] == arrives[name]
        assert len(await peer.api(f"uuid_dump {uuid}")) > 70_000
        assert await peer.api(f"uuid_setvar {uuid} note café") == "+OK\n"
        assert (await peer.send("getvar greeting")).headers["Reply-Text"] == values["greeting"]
        await finish(peer)
    over = next(m for m in peer.received if m.event == "CHANNEL_HANGUP_COMPLETE")
    assert {name: over.headers[f"variable_{name}"] for name in values} == arrives
    assert over.headers["variable_note"] == "café"
    assert_as_recorded(line, "unicode-and-large", peer)


@pytest.mark.recording("inbound")
async def test_the_control_port(line: Line) -> None:
    refused = await line.dial_in()
    await refused.until_kind("auth/request")
    assert (await refused.send("auth wrong")).headers["Reply-Text"] == "-ERR invalid"
    await refused.until_closed()
    assert refused.kinds() == ["auth/request", "command/reply", "notice:"]
    assert refused.received[-1].headers["Content-Length"] == "67"
    peer = await line.dial_in()
    await peer.until_kind("auth/request")
    assert (await peer.send(f"auth {line.password}")).headers["Reply-Text"] == "+OK accepted"
    status = await peer.api("status")
    assert status.startswith("UP 0 years, ")
    assert " is ready\n" in status
    assert " session(s) since startup\n" in status
    assert '"row_count"' in await peer.api("show channels as json")
    assert (await peer.api("version")).startswith("FreeSWITCH Version 1.")
    assert await peer.api("uuid_kill nosuch") == "-ERR No such channel!\n"
    await peer.send("event plain HEARTBEAT BACKGROUND_JOB CHANNEL_CREATE CHANNEL_HANGUP_COMPLETE")
    recorded = isinstance(line, RecordedLine)
    job = await peer.send(f"bgapi originate {'loopback/9196/public' if recorded else 'null/parked'} &park")
    done = await peer.until(lambda m: m.headers.get("Job-UUID") == job.headers["Job-UUID"] and bool(m.event))
    assert done.body.startswith("+OK ")
    call_uuid = done.body.split()[1]
    created = next(m for m in peer.received if m.event == "CHANNEL_CREATE")
    assert peer.received.index(created) < peer.received.index(done)
    await line.hang_up(call_uuid, "MANAGER_REQUEST")
    over = await peer.until(
        lambda m: m.event == "CHANNEL_HANGUP_COMPLETE" and m.headers["Unique-ID"] == call_uuid
    )
    assert over.headers["Hangup-Cause"] == "MANAGER_REQUEST"
    assert (await peer.send("exit")).headers["Reply-Text"] == "+OK bye"
    await peer.until_closed()
    await asyncio.gather(refused.close(), peer.close())
