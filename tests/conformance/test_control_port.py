"""The control port: calls that the switch places, and what it says of calls."""

from __future__ import annotations

import asyncio
import json
import uuid

from tests.conformance.lines import ControlledLine
from tests.conformance.script import a_call

NOBODY = "00000000-0000-0000-0000-000000000000"


async def test_originate_with_variables_and_an_inline_dialplan(line: ControlledLine) -> None:
    call_uuid = str(uuid.uuid4())
    options = f"{{origination_uuid={call_uuid},greeting='two words'}}"
    answer = await line.api(f"originate {options}null/caller 'm:^:set:a=one two^set:b=3^park' inline")
    assert answer == f"+OK {call_uuid}\n"
    parked = await line.seen(call_uuid, "CHANNEL_PARK")
    assert parked.headers["variable_greeting"] == "two words"
    assert (parked.headers["variable_a"], parked.headers["variable_b"]) == ("one two", "3")
    assert parked.headers["Answer-State"] == "answered"
    assert parked.headers["Call-Direction"] == "outbound"
    assert await line.api(f"uuid_kill {call_uuid} USER_BUSY") == "+OK\n"
    over = await line.seen(call_uuid, "CHANNEL_HANGUP_COMPLETE")
    assert over.headers["Hangup-Cause"] == "USER_BUSY"
    assert over.headers["variable_hangup_cause_q850"] == "17"


async def test_originate_that_cannot(line: ControlledLine) -> None:
    assert (await line.api("originate null/caller")).startswith("-USAGE: <call url>")
    assert await line.api("originate nonsense/caller &park") == "-ERR CHAN_NOT_IMPLEMENTED\n"
    assert await line.api("originate sofia/internal/a@127.0.0.1:5099 &park") == "-ERR NORMAL_TEMPORARY_FAILURE\n"


async def listed(line: ControlledLine, call_uuid: str) -> dict[str, str]:
    """The list is kept in a database that is a moment behind the calls."""
    async with asyncio.timeout(5):
        while True:
            rows = json.loads(await line.api("show channels as json")).get("rows", ())
            if found := [row for row in rows if row["uuid"] == call_uuid and row["application"] == "socket"]:
                return dict(found[0])
            await asyncio.sleep(0.05)


async def test_what_is_said_of_a_call(line: ControlledLine) -> None:
    async with a_call(line) as call:
        row = await listed(line, call.uuid)
        assert row["application"] == "socket"
        assert row["callstate"] == "ACTIVE"
        assert row["state"] == "CS_EXECUTE"
        dumped = await line.api(f"uuid_dump {call.uuid}")
        assert dumped.startswith("Event-Name: CHANNEL_DATA\n")
        assert f"\nUnique-ID: {call.uuid}\n" in dumped
        assert "total.\n" in await line.api("show channels count")


async def test_what_is_said_of_no_call(line: ControlledLine) -> None:
    for command in ("uuid_setvar {} a 1", "uuid_getvar {} a", "uuid_transfer {} 9000", "uuid_dump {}", "uuid_kill {}"):
        assert await line.api(command.format(NOBODY)) == "-ERR No such channel!\n", command
    assert await line.api(f"uuid_setvar_multi {NOBODY} a=1") == (
        "-ERR No such channel!\n-USAGE: <uuid> <var>=<value>;<var>=<value>...\n"
    )
    assert await line.api(f"uuid_exists {NOBODY}") == "false"
    assert (await line.api("uuid_break")).startswith("-USAGE: <uuid>")
    assert (await line.api("show nonsense")).startswith("-USAGE: ")


async def test_originating_several_calls_gives_several_identifiers(line: ControlledLine) -> None:
    placed = {(await line.api("originate null/caller &park")).split()[1] for _ in range(3)}
    assert len(placed) == 3
    for call_uuid in placed:
        await line.hang_up(call_uuid)
        await line.seen(call_uuid, "CHANNEL_HANGUP_COMPLETE")


async def test_the_control_port_may_drive_a_call_too(line: ControlledLine) -> None:
    async with a_call(line) as call:
        answer = await line.control.send(
            f"sendmsg {call.uuid}\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: from=the control port"
        )
        assert answer.headers["Reply-Text"] == "+OK"
        await line.seen_variable(call.uuid, "from", "the control port")
        answer = await line.control.send(f"sendmsg {call.uuid}\ncall-command: hangup\nhangup-cause: CALL_REJECTED")
        assert answer.headers["Reply-Text"] == "+OK"
        over = await line.seen(call.uuid, "CHANNEL_HANGUP_COMPLETE")
        assert over.headers["Hangup-Cause"] == "CALL_REJECTED"


async def test_getvar_cuts_what_is_long_and_lets_a_value_forge_headers(line: ControlledLine) -> None:
    """Why a variable is asked for by ``uuid_getvar`` only: its answer is a body, of any length."""
    long = "x" * 2_000
    async with a_call(line) as call:
        await call.peer.execute("set", f"long={long}")
        await call.peer.execute("set", "forging=+OK\nX-Forged: 1")
        assert await call.peer.api(f"uuid_getvar {call.uuid} long") == long
        assert (await call.peer.send("getvar long")).headers["Reply-Text"] == long[:511]
        assert await call.peer.api(f"uuid_getvar {call.uuid} forging") == "+OK\nX-Forged: 1"
        assert (await call.peer.send("getvar forging")).headers["X-Forged"] == "1"


async def test_which_files_it_finds(line: ControlledLine) -> None:
    (line.folder / "there.wav").write_bytes(b"RIFF")
    (line.folder / "empty.wav").touch()
    for name, answer in (("there.wav", "true"), ("empty.wav", "true"), ("", "true"), ("missing.wav", "false")):
        assert await line.api(f"file_exists {line.folder / name}") == answer, name
    assert await line.api("file_exists") == "false"


async def test_the_dialplan_it_has_in_memory(line: ControlledLine) -> None:
    assert await line.api("xml_locate dialplan context name nothing") == "can't find anything\n"
    assert await line.api("xml_locate dialplan context") == "-ERR bad args\n"
