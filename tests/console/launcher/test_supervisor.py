"""One supervised part: how long it waits before it starts again, and that a hold cuts a wait short."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.launcher import supervisor
from console.launcher.output import Output
from console.launcher.parts import Part, PartState
from console.launcher.supervisor import Supervised

DEADLINE_S = 20.0


class Watched:
    """A part that ends at once, and what was said about it."""

    def __init__(self, source: str = "raise SystemExit(3)", argv: tuple[str, ...] | None = None, nice: int = 0) -> None:
        self.stream = io.StringIO()
        self.output = Output(self.stream, ["mortal"])
        part = Part("mortal", argv or (sys.executable, "-c", source), nice=nice)
        self.supervised = Supervised(part, {}, "test-supervisor", Path.cwd(), self.output)

    async def until_said(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.stream.getvalue().count(text) < times:
                await asyncio.sleep(0.01)


@pytest.fixture
async def mortal() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    await watched.supervised.stop()
    watched.output.close()


async def test_the_back_off_grows_to_its_limit(mortal: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    assert supervisor.BACKOFF_S == (2, 4, 8, 16, 30)
    monkeypatch.setattr(supervisor, "BACKOFF_S", (0, 0.01, 0.02))
    running = asyncio.create_task(mortal.supervised.run())
    await mortal.until_said("starting again", times=5)
    await mortal.supervised.stop()
    await running
    delays = [line.split(" in ")[1] for line in mortal.stream.getvalue().splitlines()]
    assert delays[:5] == ["0 s", "0.01 s", "0.02 s", "0.02 s", "0.02 s"]
    assert "mortal stopped (exit 3), starting again in 0 s" in mortal.stream.getvalue()


async def test_a_part_that_was_well_for_long_starts_anew(mortal: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_S", (0, 1000))
    monkeypatch.setattr(supervisor, "WELL_AFTER_S", 0.0)
    running = asyncio.create_task(mortal.supervised.run())
    await mortal.until_said("starting again in 0 s", times=2)
    await mortal.supervised.stop()
    await running


async def test_a_hold_ends_the_back_off_and_a_release_ends_the_hold(mortal: Watched) -> None:
    running = asyncio.create_task(mortal.supervised.run())
    await mortal.until_said("starting again in 2 s")
    await mortal.supervised.hold()
    await mortal.until_said("mortal is held down")
    assert mortal.supervised.status().state is PartState.HELD
    mortal.supervised.release()
    await mortal.until_said("stopped (exit 3)", times=2)
    await mortal.supervised.stop()
    await running
    assert mortal.supervised.status().state is PartState.STOPPED


# Its grandchild cannot be found by its environment and keeps the pipe open: what is said last is waited for.
LINGERING = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import signal; print('up', flush=True); signal.alarm(20); signal.pause()"], env={})
signal.pause()
"""


async def test_who_is_told_of_a_hold_sees_it_held_while_its_last_words_are_waited_for() -> None:
    watched = Watched(LINGERING)
    running = asyncio.create_task(watched.supervised.run())
    await watched.until_said("up")
    await watched.supervised.hold()
    assert watched.supervised.status().state is PartState.HELD
    assert watched.supervised.status().pid is None
    await watched.supervised.stop()
    await running
    watched.output.close()


async def test_a_program_that_does_not_exist_is_a_failure_like_any_other() -> None:
    watched = Watched(argv=("no-such-program",))
    running = asyncio.create_task(watched.supervised.run())
    await watched.until_said("starting again in 2 s")
    await watched.supervised.stop()
    await running
    watched.output.close()
    assert "no-such-program cannot be run: No such file or directory" in watched.stream.getvalue()


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel weighs processes one by one")
async def test_what_no_caller_waits_for_gives_way_also_to_other_sessions() -> None:
    source = "import os, signal; print('nice', os.nice(0), open('/proc/self/autogroup').read(), flush=True); signal.pause()"
    watched = Watched(source, nice=7)
    running = asyncio.create_task(watched.supervised.run())
    await watched.until_said("/autogroup")
    await watched.supervised.stop()
    await running
    watched.output.close()
    said = watched.stream.getvalue()
    assert f"nice {os.nice(0) + 7} /autogroup" in said  # among its own
    assert "nice 7\n" in said  # and of its session among the others


async def test_cancelling_kills_the_process() -> None:
    watched = Watched("print('up', flush=True); import signal; signal.pause()")
    running = asyncio.create_task(watched.supervised.run())
    await watched.until_said("up")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert watched.supervised.status().pid is None
    watched.output.close()
