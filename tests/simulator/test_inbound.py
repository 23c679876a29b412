"""The switch's own Event Socket: a raw client as recorded, and python-ESL in a thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from simulator.errors import SimulatorError
from simulator.switch import Switch
from tests.conformance.client import Peer, Received
from tests.simulator.conftest import RECORDED, StartSwitch

PARKED = RECORDED.replace('application="socket" data="$${lifeline_bridges} async full"', 'application="park"')


@contextlib.asynccontextmanager
async def client(switch: Switch) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", switch.inbound_port)
    peer = Peer(reader, writer)
    try:
        yield peer
    finally:
        await peer.close()


async def authorised(peer: Peer) -> None:
    await peer.until_kind("auth/request")
    assert (await peer.send("auth ClueCon")).headers["Reply-Text"] == "+OK accepted"


async def test_nothing_but_auth_is_obeyed_before_auth(start_switch: StartSwitch) -> None:
    switch = await start_switch(RECORDED, inbound_port=0)
    async with client(switch) as peer:
        await peer.until_kind("auth/request")
        assert (await peer.send("api status")).headers["Reply-Text"] == "-ERR command not found"
        assert (await peer.send("exit")).headers["Reply-Text"] == "+OK bye"
        await peer.until_closed()


async def test_originate_rings_a_simulated_person_and_runs_the_dialplan(start_switch: StartSwitch) -> None:
    switch = await start_switch(PARKED, inbound_port=0)
    async with client(switch) as peer:
        await authorised(peer)
        await peer.send("event plain CHANNEL_ANSWER")
        answer = await peer.api("originate sofia/internal/test@127.0.0.1:5060 9000 XML public")
        uuid = answer.removeprefix("+OK ").strip()
        assert await peer.api(f"uuid_exists {uuid}") == "true"
        assert (await peer.until_kind("CHANNEL_ANSWER")).headers["Unique-ID"] == uuid
        parked = (await peer.api("originate user/someone &park")).removeprefix("+OK ").strip()
        assert await peer.api(f"uuid_getvar {parked} current_application") in ("park", "_undef_")
        assert await peer.api("originate sofia/internal/x@127.0.0.1:5099 9000") == "-ERR NORMAL_TEMPORARY_FAILURE\n"
        wanted = "11111111-2222-3333-4444-555555555555"
        looped = await peer.api(f"originate {{origination_uuid={wanted},x=1}}loopback/9000/public 9 XML nowhere")
        assert looped == f"+OK {wanted}\n"
        assert await peer.api(f"uuid_getvar {wanted} destination_number") == "9000"


async def test_a_taken_port_is_a_clear_error(start_switch: StartSwitch) -> None:
    switch = await start_switch(RECORDED, inbound_port=0)
    with pytest.raises(SimulatorError, match=f"cannot listen on 127.0.0.1:{switch.inbound_port}"):
        await start_switch(RECORDED, inbound_port=switch.inbound_port)


async def test_a_peer_that_breaks_framing_loses_only_its_own_connection(start_switch: StartSwitch) -> None:
    switch = await start_switch(RECORDED, inbound_port=0)
    async with client(switch) as broken, client(switch) as well:
        await authorised(well)
        await broken.until_kind("auth/request")
        broken.writer.write(b"x" * 70_000)
        await broken.until_closed()
        assert await well.api("uuid_exists x") == "false"


def python_esl_session(port: int) -> dict[str, object]:
    import ESL

    wrong = ESL.ESLconnection("127.0.0.1", str(port), "wrong")
    connection = ESL.ESLconnection("127.0.0.1", str(port), "ClueCon")
    found: dict[str, object] = {"wrong": bool(wrong.connected()), "right": bool(connection.connected())}
    found["status"] = connection.api("status").getBody()
    connection.events("plain", "BACKGROUND_JOB")
    job = connection.bgapi("version")
    found["job"] = job.getHeader("Job-UUID")
    event = connection.recvEventTimed(5000)
    found["event"] = (event.getHeader("Event-Name"), event.getHeader("Job-UUID"), event.getBody())
    found["exists"] = connection.api("uuid_exists", "nobody").getBody()
    connection.disconnect()
    return found


async def test_python_esl_talks_to_it(start_switch: StartSwitch) -> None:
    pytest.importorskip("ESL")
    switch = await start_switch(RECORDED, inbound_port=0)
    found = await asyncio.to_thread(python_esl_session, switch.inbound_port)
    assert (found["wrong"], found["right"]) == (False, True)
    assert "is ready" in str(found["status"])
    assert found["event"] == ("BACKGROUND_JOB", found["job"], "FreeSWITCH Version 1.11.3-dev~64bit ( 64bit)\n")
    assert found["exists"] == "false"


def test_the_tests_own_parser_takes_bytes_one_at_a_time() -> None:
    from tests.conformance.client import Parser

    parser = Parser()
    data = b"Content-Type: api/response\nContent-Length: 3\n\n+OKContent-Type: auth/request\n\n"
    found: list[Received] = []
    for at in range(len(data)):
        found += parser.feed(data[at : at + 1])
    assert [(m.content_type, m.body) for m in found] == [("api/response", "+OK"), ("auth/request", "")]


async def test_globals_and_an_empty_list(start_switch: StartSwitch) -> None:
    switch = await start_switch(PARKED, inbound_port=0)
    async with client(switch) as peer:
        await authorised(peer)
        assert await peer.api("show channels as json") == '{"row_count": 0}\n'
        assert await peer.api("show channels count") == "\n0 total.\n"
        assert await peer.api("global_getvar lifeline_bridges") == switch.config.bridges
        assert await peer.api("global_getvar nothing") == "-ERR no reply\n"
