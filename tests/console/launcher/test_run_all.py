"""``manage.py run_all`` with the parts that need nothing else, both Redis servers; and what it refuses to start."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.management.commands.prepare_data import Command as PrepareData
from console.management.commands.stack import describe
from tests.stack import Stack

SMALL = {"LIFELINE_RUN_ONLY": "redis-durable,redis-volatile"}
# A start that needs nothing new takes two seconds alone on this kind of machine; tests share it with others.
SECOND_START_LIMIT_S = 15.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("run-all") / "data", **SMALL) as running:
        yield running


def refused(**settings: str) -> str:
    """What a start says that ends by itself."""
    small = Stack(None, **SMALL | settings)
    small.start(wait=False)
    assert small._process is not None
    assert small._process.wait(60) == 1
    small.stop()
    return small.log


def test_a_command_beside_it_finds_it_and_can_hold_and_release(stack: Stack) -> None:
    def state() -> str:
        status = json.loads(stack.manage("stack", "status", "--json").stdout)
        return {process["name"]: process["state"] for process in status["processes"]}["redis-volatile"]

    assert state() == "running"
    stack.manage("stack", "hold", "redis-volatile")
    assert state() == "held"
    assert "redis-volatile  held     last exit -9" in stack.manage("stack", "status").stdout
    stack.manage("stack", "release", "redis-volatile")
    stack.until(lambda: stack.status("redis-volatile")["state"] == "running", "running again")


def test_the_commands_refuse_what_makes_no_sense(stack: Stack) -> None:
    assert "there is no process 'engine'" in stack.manage("stack", "hold", "engine", check=False).stderr
    assert "use: stack hold NAME" in stack.manage("stack", "hold", check=False).stderr


def test_the_first_user_is_made_with_the_password_that_is_shown(stack: Stack) -> None:
    code = (
        "from django.contrib.auth.models import User; user = User.objects.get(username='admin');"
        f"print('superuser', user.is_superuser and user.check_password({stack.password!r}))"
    )
    assert "superuser True" in stack.manage("shell", "-c", code).stdout


def test_only_its_owner_can_enter_the_data_folder(stack: Stack) -> None:
    assert stack.data_dir.stat().st_mode & 0o777 == 0o700
    assert "LIFELINE_SECRET_KEY" in stack.state


@pytest.mark.slow
def test_a_second_start_is_quick_and_keeps_the_password(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", **SMALL)
    stack.start()
    first = stack.password
    assert stack.stop() == 0
    began = time.monotonic()
    stack.start()
    took_s = time.monotonic() - began
    assert stack.password == first
    assert stack.stop() == 0
    assert took_s < SECOND_START_LIMIT_S


def test_a_taken_port_is_refused_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = refused(
            LIFELINE_RUN_ONLY="redis-durable,bridge", LIFELINE_RUN_PORTS_FROM="", LIFELINE_ESL_PORT=str(port)
        )
    assert f"LIFELINE_ESL_PORT: port {port} on 127.0.0.1 is taken by" in said
    assert " make run" in said
    assert "redis-durable" not in said
    assert "Traceback" not in said


def test_a_process_that_does_not_exist_is_refused_with_those_that_do() -> None:
    said = refused(LIFELINE_RUN_ONLY="redis-durable,brigde")
    assert "LIFELINE_RUN_ONLY or LIFELINE_RUN_WITHOUT: there is no process brigde; there are redis-durable" in said


def test_a_setting_that_does_not_exist_is_refused() -> None:
    said = refused(LIFELINE_ESL_PROT="1")
    assert said.startswith("lifeline: LIFELINE_ESL_PROT is not a setting of Lifeline")
    assert len(said.splitlines()) == 1


def test_a_data_folder_that_no_switch_plays_from_is_refused_before_anything_starts(tmp_path: Path) -> None:
    said = refused(LIFELINE_DATA_DIR=str(tmp_path / "jörg (old)"), LIFELINE_PROMPT_DIR=str(tmp_path))
    assert said.count("LIFELINE_DATA_DIR is ") == len(said.splitlines()) == 1
    assert not list(tmp_path.glob("*/*.json"))


@pytest.mark.django_db
def test_a_password_that_was_changed_stays_changed(capsys: pytest.CaptureFixture[str]) -> None:
    from django.contrib.auth import get_user_model

    prepare = PrepareData()
    prepare._make_admin("the first one")
    admin = get_user_model().objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password("the first one")
    admin.set_password("another one")
    admin.save()
    prepare._make_admin("the first one")
    assert get_user_model().objects.get(username="admin").check_password("another one")
    assert "was changed since" in capsys.readouterr().out


def test_a_process_is_described_in_one_line() -> None:
    process = {"name": "engine", "state": "running", "pid": 7, "up_s": 3.2, "restarts": 2, "last_exit": -9}
    assert describe(process) == "engine          running  pid 7, up 3 s, started again 2 times, last exit -9"
    quiet = {"name": "engine", "state": "waiting", "pid": None, "up_s": None, "restarts": 0, "last_exit": None}
    assert describe(quiet) == "engine          waiting"
