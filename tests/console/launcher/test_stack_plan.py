"""The embedded Redis servers, started for real, and the order of Lifeline's own parts."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis

from ai_engine import worker
from ai_engine.redis_clients import connect
from console.launcher.data_folder import DataFolder
from console.launcher.parts import StartPhase, StopOrder
from console.launcher.ports import Listener
from console.launcher.stack_plan import bridge_list, lifeline_parts, redis_parts, state_of
from console.management.commands.run_all import plan
from esl_bridge import upkeep

SETTINGS = ("LIFELINE_CONSOLE_PORT", "LIFELINE_ESL_PORT", "LIFELINE_MEDIA_PORT", "LIFELINE_SWITCH_PORT")


class Servers:
    def __init__(self, runtime: Path, data: Path) -> None:
        parts, self.settings = redis_parts(runtime, data, durable=True, volatile=True)
        self.parts = {part.name: part for part in parts}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> redis.Redis:
        part = self.parts[name]
        self.running[name] = subprocess.Popen(part.argv, stdout=subprocess.DEVNULL)
        assert part.ready is not None
        deadline = time.monotonic() + 20
        while not part.ready():
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(0.01)
        return connect(self.settings[f"LIFELINE_{name.replace('-', '_').upper()}_URL"])

    def kill(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGKILL)
        self.running.pop(name).wait()

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)


@pytest.fixture
def servers(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    data = tmp_path / "data with spaces"
    data.mkdir()
    made = Servers(tmp_path_factory.mktemp("r"), data)
    yield made
    made.stop()


def test_the_console_is_ready_although_its_pages_are_reached_by_https_only(tmp_path: Path) -> None:
    class OnlyHttps(BaseHTTPRequestHandler):
        """As the console answers with LIFELINE_HTTPS; nothing listens where it sends us."""

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 301)
            self.send_header("Location", "https://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), OnlyHttps)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    listeners = [Listener("any", setting, "127.0.0.1", 1) for setting in SETTINGS[1:]]
    listeners.append(Listener("console", SETTINGS[0], "127.0.0.1", server.server_port))
    try:
        (console,) = [part for part in lifeline_parts(listeners, "", drain_s=1) if part.name == "console"]
        assert console.ready is not None
        assert console.ready()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_durable_one_keeps_what_it_was_given_through_kill_9(servers: Servers) -> None:
    with servers.start("redis-durable") as client:
        for number in range(1000):
            client.xadd("journal", {"number": number})
    servers.kill("redis-durable")
    with servers.start("redis-durable") as client:
        assert client.xlen("journal") == 1000
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_the_volatile_one_gives_up_what_expires_and_never_the_queue(servers: Servers) -> None:
    with servers.start("redis-volatile") as client:
        client.xadd("turns", {"call": "1"})
        client.config_set("maxmemory", "4mb")
        for number in range(200):
            client.set(f"audio:{number}", b"x" * 100_000, px=600_000)
        assert client.xlen("turns") == 1
        assert client.exists("audio:199")
        assert not client.exists("audio:0")


def test_a_server_given_by_the_operator_is_not_started(tmp_path: Path) -> None:
    parts, settings = redis_parts(tmp_path, tmp_path, durable=False, volatile=True)
    assert [part.name for part in parts] == ["redis-volatile"]
    assert set(settings) == {"LIFELINE_REDIS_VOLATILE_URL"}


def test_callers_come_last_and_go_first(tmp_path: Path) -> None:
    parts = lifeline_parts([Listener("x", name, "127.0.0.1", 1) for name in SETTINGS], "unix:///none", drain_s=20)
    names = [part.name for part in parts]
    assert names == [
        "engine", "recorder", "console", "bridge", "switch-watch", "gateway", "worker-1", "worker-2", "celery", "simulator"
    ]  # fmt: skip
    assert [part.name for part in parts if part.phase is StartPhase.CALLERS] == ["simulator"]
    assert [part.name for part in parts if part.stop_order is StopOrder.CALLERS] == ["simulator"]
    assert [part.name for part in parts if part.stop_order is StopOrder.RECORDER] == ["recorder"]


def test_only_what_no_caller_waits_for_gives_way(tmp_path: Path) -> None:
    parts = lifeline_parts([Listener("x", name, "127.0.0.1", 1) for name in SETTINGS], "unix:///none", drain_s=20)
    assert {part.name: part.nice for part in parts if part.nice} == {"recorder": 2, "console": 5, "celery": 5}


def test_further_bridges_have_a_name_and_a_port_of_their_own_and_callers_know_them_all(tmp_path: Path) -> None:
    listeners = [Listener("x", name, "127.0.0.1", 1) for name in SETTINGS]
    listeners[1] = Listener("bridge", "LIFELINE_ESL_PORT", "127.0.0.1", 8084)
    listeners.append(Listener("bridge-2", "LIFELINE_RUN_BRIDGE_2_PORT", "127.0.0.1", 8085))
    parts = {part.name: part for part in lifeline_parts(listeners, "unix:///none", drain_s=20)}
    assert parts["bridge-2"].env == {"LIFELINE_BRIDGE_ID": "bridge-2", "LIFELINE_ESL_PORT": "8085"}
    assert parts["bridge-2"].argv == parts["bridge"].argv
    assert parts["bridge-2"].stop_order is StopOrder.BRIDGE
    assert bridge_list(listeners) == "127.0.0.1:8084|127.0.0.1:8085"


def test_on_a_host_with_a_name_the_fleet_knows_each_by_it_and_commands_know_it_without(tmp_path: Path) -> None:
    listeners = [Listener("x", name, "127.0.0.1", 1) for name in SETTINGS]
    listeners.append(Listener("bridge-2", "LIFELINE_RUN_BRIDGE_2_PORT", "127.0.0.1", 8085))
    named, alone = (
        {part.name: part for part in lifeline_parts(listeners, "unix:///none", drain_s=20, host=host)} for host in ("east", "")
    )
    assert list(named) == list(alone)
    assert named["bridge-2"].env["LIFELINE_BRIDGE_ID"] == "east-bridge-2"
    assert named["worker-1"].env["LIFELINE_WORKER_ID"] == "east-worker-1"
    assert alone["worker-1"].env["LIFELINE_WORKER_ID"] == "worker-1"


def test_a_hosts_worker_is_ready_when_it_says_so_itself_and_not_its_like_on_another(volatile_redis: str) -> None:
    listeners = [Listener("x", name, "127.0.0.1", 1) for name in SETTINGS]
    ready = {part.name: part for part in lifeline_parts(listeners, volatile_redis, drain_s=20, host="east")}["worker-1"].ready
    assert ready is not None
    with connect(volatile_redis) as client:
        client.set("worker:worker-1", b"of another")
        client.set("worker:west-worker-1", b"of another")
        assert not ready()
        client.set("worker:east-worker-1", b"its own")
        assert ready()


@pytest.mark.parametrize(("host", "given", "found"), [("", "", None), ("east", "", "east-bridge-1"), ("east", "mine", "mine")])
def test_the_first_bridge_of_a_host_with_a_name_has_it_in_its_own_unless_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, host: str, given: str, found: str | None
) -> None:
    settings.LIFELINE_RUN_PORTS_FROM = "0"
    settings.LIFELINE_HOST_NAME = host
    if given:
        monkeypatch.setenv("LIFELINE_BRIDGE_ID", given)
    with DataFolder(tmp_path) as folder:
        assert plan(folder).env.get("LIFELINE_BRIDGE_ID") == found


def test_the_state_file_holds_what_a_command_needs_and_no_secret_of_the_operators() -> None:
    env = {
        "PATH": "/bin",
        "DATABASE_URL": "postgres://",
        "LIFELINE_ESL_PORT": "1",
        "LIFELINE_SECRET_KEY": "made",
        "LIFELINE_SECRET_OPENAI": "theirs",
        "LIFELINE_RUN_ONLY": "bridge",
        "LIFELINE_RUN_SOCKET": "/s",
    }
    kept = state_of(env, made_here=["LIFELINE_SECRET_KEY", "LIFELINE_RUN_SOCKET"])
    assert set(kept) == {"DATABASE_URL", "LIFELINE_ESL_PORT", "LIFELINE_SECRET_KEY", "LIFELINE_RUN_SOCKET"}


def test_each_may_take_as_long_to_stop_as_its_own_draining_does(tmp_path: Path) -> None:
    listeners = [Listener("x", name, "127.0.0.1", 1) for name in SETTINGS]
    listeners.append(Listener("bridge-2", "LIFELINE_RUN_BRIDGE_2_PORT", "127.0.0.1", 8085))
    parts = {part.name: part for part in lifeline_parts(listeners, "unix:///none", drain_s=70)}
    assert parts["bridge"].grace_s == parts["bridge-2"].grace_s >= 70 + upkeep.JOURNAL_DRAIN_S + 1
    assert parts["worker-1"].grace_s > worker.DRAIN_S + 1


def test_a_secret_that_is_given_without_a_value_does_not_replace_the_one_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.LIFELINE_RUN_PORTS_FROM = "0"
    monkeypatch.setenv("LIFELINE_MEDIA_SECRET", "")
    monkeypatch.setenv("LIFELINE_SECRET_KEY", "k" * 40)
    with DataFolder(tmp_path) as folder:
        env = plan(folder).env
        assert env["LIFELINE_MEDIA_SECRET"] == folder.secrets()["LIFELINE_MEDIA_SECRET"]
    assert env["LIFELINE_SECRET_KEY"] == "k" * 40
