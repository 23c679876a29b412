"""What every browser test needs: a console served by a real daphne, a browser that is logged in, screenshots.

Owns the processes. The fixtures are in ``conftest.py``; a test writes rows as the recorder does, and sends its nudge.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
# The one that .ci/run looks for.
CHROMIUM = shutil.which("chromium")
ARGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_LIMIT_S = 30.0
PASSWORD = "only for this test"
# Where screenshots go, for a person to look at; a folder that goes away unless it is named.
SHOTS = os.environ.get("LIFELINE_TEST_SCREENSHOTS", "")

SET_UP = "import django; django.setup()\n"
MAKE_USER = f"""
from django.contrib.auth.models import User
User.objects.create_superuser("anna", password="{PASSWORD}")
"""
WRITE = """
import asyncio, uuid
from datetime import timedelta
from channels.layers import get_channel_layer
from django.utils import timezone
from console.models import Call, Incident
now = timezone.now()
{body}
"""
NUDGE = """
asyncio.run(get_channel_layer().group_send("live", {"type": "live.changed"}))
"""


def free_ports(count: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return ports


@dataclass
class Console:
    """daphne and what its processes share."""

    url: str
    env: dict[str, str]
    command: list[str]
    volatile: RedisServer
    process: subprocess.Popen[bytes] | None = None
    answer_limit_s: float = 2.0

    def python(self, code: str) -> None:
        subprocess.run([sys.executable, "-c", SET_UP + code], cwd=ROOT, env=self.env, check=True, timeout=START_LIMIT_S)

    def write(self, body: str, *, nudge: bool = True) -> None:
        self.python(WRITE.format(body=body) + (NUDGE if nudge else ""))

    def start(self) -> None:
        """Returns when it answers. One that does not is stopped, and its last error raised."""
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=self.env)
        try:
            self._until_it_answers(self.process)
        except BaseException:
            self.stop()
            raise

    def _until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=self.answer_limit_s).close()
            except (OSError, http.client.HTTPException):  # Once the connection is there, errors come as they are, not as URLError.
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
