"""The call and its sockets: who owns it, and what becomes of it when a socket goes, at every kind of moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tests.conformance.lines import GOES_ON, ControlledLine, seconds
from tests.conformance.script import a_call, listen

MINUTE = "tone_stream://%(1000,0,440);loops=60"
# An extension that no dialplan has to hold.
GOES_ELSEWHERE = "sleep:60000 inline"
NO_RESUME = ("set:socket_resume=false", "answer")
Moment = tuple[str, str]


def moments(length_ms: int) -> dict[str, Moment]:
    """Applications that take so long when nothing cuts them."""
    keys = rf"1 1 1 {length_ms - 500} # silence_stream://500 silence_stream://10 v \d"
    return {
        "in a playback": ("playback", f"tone_stream://%({length_ms},0,440)"),
        "in play_and_get_digits": ("play_and_get_digits", keys),
        "in sleep": ("sleep", str(length_ms)),
    }


# At once, or at its own end: so far apart that no stall of a machine makes one of the other.
LONG, SHORT = moments(60_000), moments(2000)


async def went_on(line: ControlledLine, uuid: str, since_s: float) -> float:
    """How long after that the dialplan's next action ran."""
    return seconds(await line.seen_variable(uuid, "went_on", "yes")) - since_s


async def goes_on_at_once(line: ControlledLine, uuid: str, closed_s: float) -> None:
    assert await went_on(line, uuid, closed_s) < 0.5 + line.late_s


async def stays(line: ControlledLine, uuid: str) -> None:
    """Nothing becomes of the call: it stands, its dialplan too."""
    await line.wait(1.5)
    assert await line.api(f"uuid_getvar {uuid} went_on") == "_undef_"
    assert await line.api(f"uuid_exists {uuid}") == "true"


@pytest.mark.parametrize("moment", LONG.values(), ids=LONG)
async def test_with_resume_what_runs_is_cut_and_the_dialplan_goes_on(line: ControlledLine, moment: Moment) -> None:
    async with a_call(line) as call:
        event_uuid = await call.peer.post(*moment)
        await call.peer.started(event_uuid)
        closed_s = line.now_s()
        await call.peer.close()
        await goes_on_at_once(line, call.uuid, closed_s)


async def test_with_resume_an_idle_call_goes_on(line: ControlledLine) -> None:
    async with a_call(line) as call:
        closed_s = line.now_s()
        await call.peer.close()
        await goes_on_at_once(line, call.uuid, closed_s)


async def test_with_resume_a_call_whose_app_never_said_connect_goes_on(line: ControlledLine) -> None:
    async with line.listening() as (port, peers):
        uuid = await line.place(line.where(port))
        peer = await peers.get()
        closed_s = line.now_s()
        await peer.close()
        await goes_on_at_once(line, uuid, closed_s)


@pytest.mark.parametrize("moment", SHORT.values(), ids=SHORT)
async def test_without_resume_what_runs_ends_by_itself_first(line: ControlledLine, moment: Moment) -> None:
    async with a_call(line, before=NO_RESUME) as call:
        event_uuid = await call.peer.post(*moment)
        began_s = seconds(await call.peer.started(event_uuid))
        await call.peer.close()
        assert 1.6 <= await went_on(line, call.uuid, began_s) < 2.4 + line.late_s


async def test_without_resume_an_idle_call_goes_on(line: ControlledLine) -> None:
    async with a_call(line, before=NO_RESUME) as call:
        await line.seen(call.uuid, "CHANNEL_PARK")  # closed before that, it would stay parked as below
        closed_s = line.now_s()
        await call.peer.close()
        await goes_on_at_once(line, call.uuid, closed_s)


async def test_without_resume_an_app_that_closes_before_connect_leaves_the_call_parked(line: ControlledLine) -> None:
    async with line.listening() as (port, peers):
        uuid = await line.place(line.where(port), before=NO_RESUME)
        await (await peers.get()).close()
        await stays(line, uuid)


async def test_exit_is_like_closing(line: ControlledLine) -> None:
    async with a_call(line) as call:
        assert (await call.peer.send("exit")).headers["Reply-Text"] == "+OK bye"
        closed_s = line.now_s()
        await call.peer.until_closed()
        assert call.peer.received[-1].kind() == "notice:disconnect"
        await goes_on_at_once(line, call.uuid, closed_s)


async def test_resume_said_by_the_app_counts_like_the_variable(line: ControlledLine) -> None:
    async with a_call(line, before=NO_RESUME) as call:
        assert (await call.peer.send("resume")).headers["Reply-Text"] == "+OK"
        await call.peer.started(await call.peer.post("playback", MINUTE))
        closed_s = line.now_s()
        await call.peer.close()
        await goes_on_at_once(line, call.uuid, closed_s)


async def test_in_sync_mode_resume_strands_the_call_until_it_is_transferred(line: ControlledLine) -> None:
    """Why nobody may deploy it."""
    async with line.listening() as (port, peers):
        uuid = await line.place(line.where(port).replace("async ", ""))
        peer = await peers.get()
        connected = await peer.send("connect")
        assert connected.headers["Socket-Mode"] == "static"
        await peer.post("set", "done=inline")
        assert await line.api(f"uuid_getvar {uuid} done") == "inline", "in sync mode the answer comes after the deed"
        await peer.close()
        await stays(line, uuid)
        await line.api(f"uuid_setvar {uuid} conf_socket {line.where(port)}")
        assert await line.api(f"uuid_transfer {uuid} {line.again()}") == "+OK\n"
        again = await peers.get()
        assert (await again.send("connect")).headers["Unique-ID"] == uuid


async def test_an_old_socket_that_closes_late_ejects_the_call_from_its_new_owner(line: ControlledLine) -> None:
    async with a_call(line) as call:
        assert await line.api(f"uuid_transfer {call.uuid} {line.again()}") == "+OK\n"
        owner = await call.peers.get()
        await owner.send("connect")
        await listen(owner, call.uuid)
        event_uuid = await owner.post("playback", MINUTE)
        await owner.started(event_uuid)
        closed_s = line.now_s()
        await call.peer.close()
        await owner.executed(event_uuid)
        await goes_on_at_once(line, call.uuid, closed_s)


@pytest.mark.parametrize("playing", [True, False])
async def test_who_moves_a_call_ends_its_socket_first_and_what_the_app_still_says_is_heard_there(
    line: ControlledLine, playing: bool
) -> None:
    """An operator's `uuid_transfer`. The app keeps its connection."""
    async with a_call(line) as call:
        await call.peer.execute("set", "ours=yes")
        if playing:
            await call.peer.started(await call.peer.post("playback", MINUTE))
        assert await line.api(f"uuid_transfer {call.uuid} {GOES_ELSEWHERE}") == "+OK\n"
        ended = await call.peer.until_kind("CHANNEL_EXECUTE_COMPLETE:socket")
        assert ended.headers["Answer-State"] == "answered"
        assert ended.headers["variable_ours"] == "yes"
        await call.peer.until_kind("CHANNEL_EXECUTE:sleep")
        kinds = call.peer.kinds()
        assert kinds.count("CHANNEL_EXECUTE_COMPLETE:playback") == playing
        assert kinds.index("CHANNEL_EXECUTE_COMPLETE:socket") < kinds.index("CHANNEL_EXECUTE:sleep")
        assert not call.peer.closed
        await call.peer.execute("set", "spoken=there")


async def test_both_sockets_of_a_call_are_obeyed(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await line.api(f"uuid_transfer {call.uuid} {line.again()}")
        owner = await call.peers.get()
        await owner.send("connect")
        await call.peer.execute("set", "said_by=the old owner")
        assert (await owner.send("getvar said_by")).headers["Reply-Text"] == "the old owner"


async def test_the_hosts_of_a_socket_are_tried_in_turn(line: ControlledLine) -> None:
    async with line.listening() as (port, peers):
        uuid = await line.place(line.where(9, port))
        peer = await peers.get()
        connected = await peer.send("connect")
        assert connected.headers["Unique-ID"] == uuid
        assert connected.headers["variable_socket_host"] == line.host


async def test_with_no_listener_at_all_the_dialplan_goes_on(line: ControlledLine) -> None:
    uuid = await line.place(line.where(9, 19))
    over = await line.seen(uuid, "CHANNEL_HANGUP_COMPLETE")
    assert over.headers["variable_went_on"] == "yes"
    assert over.headers["Hangup-Cause"] == "NORMAL_CLEARING"


@contextlib.asynccontextmanager
async def full_queue(host: str) -> AsyncIterator[int]:
    """A port that is listened at and accepts nobody any more: the connections that fill it are never taken."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as kept:
        server = kept.enter_context(socket.socket())
        server.bind((host, 0))
        server.listen(0)
        place = server.getsockname()
        while True:
            filler = kept.enter_context(socket.socket())
            filler.setblocking(False)
            try:
                async with asyncio.timeout(0.3):
                    await loop.sock_connect(filler, place)
            except TimeoutError:
                break
        yield int(place[1])


async def test_a_connect_that_hangs_holds_the_call_whatever_is_tried(line: ControlledLine) -> None:
    async with line.listening() as (port, peers):
        async with full_queue(line.host) as full:
            uuid = await line.place(line.where(full, port))
            await line.seen(uuid, "CHANNEL_EXECUTE:socket")
            assert await line.api(f"sched_transfer +1 {uuid} {line.again()}") == "+OK\n"
            await line.wait(2.5)
            assert peers.empty()
            assert await line.api(f"uuid_getvar {uuid} current_application") == "socket"
        peer = await peers.get()  # the queue is gone: refused, so the next host; then what had been asked for
        await peer.send("connect")
        await line.seen(uuid, "CHANNEL_EXECUTE_COMPLETE:socket")


async def test_bare_linger_keeps_the_socket_until_the_app_closes_it(line: ControlledLine) -> None:
    async with a_call(line) as call:
        assert (await call.peer.send("linger")).headers["Reply-Text"] == "+OK will linger"
        await line.hang_up(call.uuid)
        notice = await call.peer.until_kind("notice:linger")
        assert notice.headers["Linger-Time"] == "-1"
        assert notice.headers["Controlled-Session-UUID"] == call.uuid
        await line.wait(1.5)
        assert not call.peer.closed
        assert await line.api(f"uuid_exists {call.uuid}") == "false"
        assert call.uuid in await line.api("show channels"), "a dead call is listed while an app holds it"
        await call.peer.send("exit")
        await call.peer.until_closed()


async def test_no_linger_and_lingering_called_off(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.send("linger 30")
        assert (await call.peer.send("nolinger")).headers["Reply-Text"] == "+OK will not linger"
        await line.hang_up(call.uuid)
        await call.peer.until_closed()
        assert call.peer.received[-1].kind() == "notice:disconnect"
        assert "notice:linger" not in call.peer.kinds()


async def test_what_comes_after_the_socket_may_be_anything(line: ControlledLine) -> None:
    """`GOES_ON` of every other scenario is a variable, a tone and the end; each is run, in order."""
    async with a_call(line) as call:
        await call.peer.close()
        await line.seen(call.uuid, "CHANNEL_HANGUP_COMPLETE")
        ran = [m.headers["Application"] for m in line.events(call.uuid) if m.event == "CHANNEL_EXECUTE"]
        assert ran[-len(GOES_ON) :] == [action.partition(":")[0] for action in GOES_ON]
