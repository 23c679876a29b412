"""Which events reach a call's socket."""

from __future__ import annotations

from tests.conformance.lines import ControlledLine
from tests.conformance.script import a_call


async def test_a_list_alone_brings_other_calls_events_and_a_filter_keeps_them_out(line: ControlledLine) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        own = await peers.get()
        uuid = (await own.send("connect")).headers["Unique-ID"]
        await line.place(line.where(port))
        other = await peers.get()
        other_uuid = (await other.send("connect")).headers["Unique-ID"]
        await other.send("myevents")
        await own.send("event plain CHANNEL_EXECUTE_COMPLETE")

        async def execute(mark: str) -> list[str]:
            """Whose events arrive when the other call has done something, and then the own one."""
            since = len(own.received)
            await other.execute("set", f"mark={mark}")
            await own.execute("set", f"mark={mark}")
            return [m.headers["Unique-ID"] for m in own.received[since:] if m.event]

        assert await execute("1") == [other_uuid, uuid]
        await own.send(f"filter Unique-ID {uuid}")
        assert await execute("2") == [uuid]
        await own.send(f"filter Unique-ID {other_uuid}")
        assert await execute("3") == [other_uuid, uuid]
        answer = await own.send(f"filter delete Unique-ID {other_uuid}")
        assert answer.headers["Reply-Text"] == f"+OK filter deleted. [Unique-ID][{other_uuid}]"
        assert await execute("4") == [uuid]
        answer = await own.send("filter delete Unique-ID")
        assert answer.headers["Reply-Text"] == "+OK filter deleted. [Unique-ID][]"
        assert await execute("5") == [other_uuid, uuid]


async def test_my_events_bring_no_playback_events_and_no_jobs(line: ControlledLine) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer = await peers.get()
        await peer.send("connect")
        await peer.send("myevents")
        assert (await peer.send("myevents")).headers["Reply-Text"] == "-ERR aready enabled."
        await peer.send("bgapi version")
        await peer.execute("playback", "tone_stream://%(100,0,440)")
        assert not {"PLAYBACK_START", "PLAYBACK_STOP", "BACKGROUND_JOB"} & set(peer.kinds())


async def test_events_as_json(line: ControlledLine) -> None:
    async with a_call(line) as call:
        answer = await call.peer.send("event json CHANNEL_EXECUTE_COMPLETE BACKGROUND_JOB")
        assert answer.headers["Reply-Text"] == "+OK event listener enabled json"
        complete = await call.peer.execute("set", "greeting=100%25 Grüß\nGott")
        assert complete.content_type == "text/event-json"
        assert complete.headers["variable_greeting"] == "100%25 Grüß\nGott", "nothing is URL-encoded here"
        await call.peer.send(f"filter Job-Owner-UUID {call.uuid}")
        await call.peer.send("bgapi uuid_exists nobody")
        job = await call.peer.until_kind("BACKGROUND_JOB")
        assert (job.content_type, job.body) == ("text/event-json", "false")


async def test_nixing_and_no_events(line: ControlledLine) -> None:
    async with a_call(line) as call:
        assert (await call.peer.send("nixevent CHANNEL_EXECUTE")).headers["Reply-Text"] == "+OK events nixed"
        since = len(call.peer.received)
        await call.peer.execute("set", "a=1")
        assert "CHANNEL_EXECUTE:set" not in [m.kind() for m in call.peer.received[since:]]
        answer = await call.peer.send("noevents")
        assert answer.headers["Reply-Text"] == "+OK no longer listening for events"
        since = len(call.peer.received)
        await call.peer.post("set", "b=2")
        await line.seen_variable(call.uuid, "b", "2")
        await call.peer.api("version")
        assert not [m for m in call.peer.received[since:] if m.event]


async def test_answers_to_commands_without_a_call_or_a_meaning(line: ControlledLine) -> None:
    peer = await line.dial_in()
    await peer.until_kind("auth/request")
    await peer.send(f"auth {line.password}")

    async def reply(command: str) -> str:
        return (await peer.send(command)).headers["Reply-Text"]

    assert await reply("linger") == "-ERR not controlling a session"
    assert await reply("divert_events on") == "-ERR not controlling a session."
    assert await reply("noevents") == "-ERR not listening for events"
    assert await reply("nolog") == "-ERR not loging"
    assert await reply("filter Unique-ID") == "-ERR invalid syntax"
    assert await reply("connect") == "-ERR command not found"
    await peer.close()
