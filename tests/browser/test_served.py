"""The console of the browser tests is waited for while it starts, however it fails until then, and is never left running."""

from __future__ import annotations

import os
import sys
import urllib.error
from pathlib import Path

import psutil
import pytest

from tests.browser import served
from tests.browser.served import Console, free_ports
from tests.redis_server import RedisServer

# Its first connection is taken and never answered, the second reset, the third answered with nonsense, the others well.
SLOW = """
import socket, struct, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
kept, _ = server.accept()
for answer in (b"", b"nonsense", *[b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"] * 1000):
    connection, _ = server.accept()
    connection.recv(1000)
    connection.sendall(answer)
    if not answer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
"""


def console(program: str, volatile: RedisServer) -> Console:
    (port,) = free_ports(1)
    command = [sys.executable, "-c", program, str(port)]
    return Console(f"http://127.0.0.1:{port}", dict(os.environ), command, volatile, answer_limit_s=0.5)


def test_one_that_is_slow_resets_and_speaks_nonsense_at_first_is_waited_for(volatile_server: RedisServer) -> None:
    starting = console(SLOW, volatile_server)
    try:
        starting.start()
        assert starting.process is not None
    finally:
        starting.stop()


def test_one_that_does_not_come_is_not_left_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, volatile_server: RedisServer
) -> None:
    monkeypatch.setattr(served, "START_LIMIT_S", 0.0)
    silent = console(f"import time; mark = {str(tmp_path)!r}; time.sleep(600)", volatile_server)
    with pytest.raises(urllib.error.URLError):
        silent.start()
    assert [each.pid for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(each.info["cmdline"] or ())] == []
