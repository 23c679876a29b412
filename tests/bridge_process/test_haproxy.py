"""The deployed HAProxy configuration with a real HAProxy and real bridges, one of which is frozen: nobody waits for it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bridge_process.bridges import ROOT, BridgeProcess, says_connect
from tests.free_ports import free_port
from tests.published import Flows

CONFIG = ROOT / "deploy/haproxy/lifeline.cfg"
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
# Debian has it; it is no part of what `make run` needs.
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed (apt-get install haproxy)")
# The sum of the configuration's own: two checks of 500 ms, the pauses between, and a slow machine.
OUT_LIMIT_S = 10.0


def configured(folder: Path, port: int, servers: list[str]) -> Path:
    """The deployed file with this test's addresses, and nothing else changed."""
    text = re.sub(r"bind 127\.0\.0\.1:\d+", f"bind 127.0.0.1:{port}", CONFIG.read_text())
    head = re.sub(r"\n    server .*", "", text).rstrip()
    lines = [f"    server bridge-{number} {address}" for number, address in enumerate(servers, 1)]
    path = folder / "haproxy.cfg"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


@needs_haproxy
def test_the_deployed_file_is_one_that_haproxy_takes_without_a_warning() -> None:
    assert HAPROXY is not None
    done = subprocess.run([HAPROXY, "-c", "-f", str(CONFIG)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert "ALERT" not in done.stderr


def test_no_limit_in_it_ends_a_call_and_every_attempt_to_connect_has_one() -> None:
    """Also where there is no haproxy: what the dialplan's promise rests on."""
    text = CONFIG.read_text()
    connect_ms = int(re.findall(r"timeout connect (\d+)ms", text)[0])
    retries = int(re.findall(r"retries (\d+)", text)[0])
    # The dialplan's own timer, 5 s, is the next to act.
    assert connect_ms * (1 + retries) < 2000
    assert re.findall(r"timeout (?:client|server) (\S+)", text) == ["24h", "24h"]
    assert "shutdown-sessions" not in text
    assert "tcp-check expect string connect" in text


@pytest.fixture
def start_proxy() -> Iterator[Callable[[Path], None]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(config: Path) -> None:
        assert HAPROXY is not None
        running.append(subprocess.Popen([HAPROXY, "-db", "-f", str(config)], stdin=subprocess.DEVNULL))

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@needs_haproxy
@pytest.mark.slow
@pytest.mark.django_db
async def test_a_frozen_bridge_and_a_machine_that_is_gone_hold_nobody(
    flows: Flows, tmp_path: Path, start_proxy: Callable[[Path], None]
) -> None:
    port = free_port()
    first, second = (BridgeProcess(name, tmp_path, flows) for name in ("bridge-1", "bridge-2"))
    try:
        await asyncio.gather(first.listening(), second.listening())
        # The third is an address to which no packet comes back (TEST-NET-1), as of a machine that is cut off.
        servers = [f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}", "192.0.2.1:8084"]
        start_proxy(configured(tmp_path, port, servers))
        await until_all_answer(port)
        first.freeze()
        await until_all_answer(port)
        second.freeze()
        began = time.monotonic()
        # With every bridge frozen a connection may be open or closed, but it is never left hanging in connect().
        assert not await asyncio.to_thread(says_connect, port)
        assert time.monotonic() - began < OUT_LIMIT_S
        second.thaw()
        await until_all_answer(port)
    finally:
        first.stop()
        second.stop()


async def until_all_answer(port: int) -> None:
    """Ten connections in a row come to a bridge that speaks: what is out is known to be."""
    in_a_row = 0
    async with asyncio.timeout(OUT_LIMIT_S * 3):
        while in_a_row < 10:
            in_a_row = in_a_row + 1 if await asyncio.to_thread(says_connect, port, 1.0) else 0
