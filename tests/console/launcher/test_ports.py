"""Ports that are free, taken, doubled and moved, with real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from console.launcher import ports
from console.launcher.errors import StartError
from console.launcher.ports import Listener

CONSOLE = Listener("console", "LIFELINE_CONSOLE_PORT", "127.0.0.1", 8000)
BRIDGE = Listener("bridge", "LIFELINE_ESL_PORT", "127.0.0.1", 8084)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_refused_with_its_setting_its_user_and_a_free_one(taken: int) -> None:
    with pytest.raises(StartError) as refused:
        ports.check([Listener("console", "LIFELINE_CONSOLE_PORT", "127.0.0.1", taken)])
    text = str(refused.value)
    assert text.startswith(f"LIFELINE_CONSOLE_PORT: port {taken} on 127.0.0.1 is taken by ")
    assert f"(pid {os.getpid()})" in text
    offered = int(text.split("LIFELINE_CONSOLE_PORT=")[1].split()[0])
    with socket.create_server(("127.0.0.1", offered)):
        pass


def test_every_problem_is_named_at_once(taken: int) -> None:
    listeners = [
        Listener("a", "LIFELINE_A", "127.0.0.1", taken),
        Listener("b", "LIFELINE_B", "203.0.113.1", 4711),
        Listener("c", "LIFELINE_C", "203.0.113.1", 4711),
    ]
    with pytest.raises(StartError) as refused:
        ports.check(listeners)
    first, second, third = str(refused.value).splitlines()
    assert "LIFELINE_A" in first
    assert "LIFELINE_B: port 4711 on 203.0.113.1 cannot be used" in second
    assert third == "LIFELINE_C and LIFELINE_B are both 4711: give each a port of its own."


def test_free_ports_pass_and_are_all_different() -> None:
    chosen = ports.assign([CONSOLE, BRIDGE], "0")
    ports.check(chosen)
    assert len({listener.port for listener in chosen}) == 2


def test_ports_from_a_base_are_consecutive() -> None:
    chosen = ports.assign([CONSOLE, BRIDGE], "9000")
    assert ports.as_settings(chosen) == {
        "LIFELINE_CONSOLE_PORT": "9000",
        "LIFELINE_ESL_PORT": "9001",
    }


def test_without_a_base_nothing_moves() -> None:
    assert ports.assign([CONSOLE], "") == [CONSOLE]


@pytest.mark.parametrize("value", ["-1", "many", "65535"])
def test_a_base_that_is_no_port_is_refused(value: str) -> None:
    with pytest.raises(StartError, match="LIFELINE_RUN_PORTS_FROM"):
        ports.assign([CONSOLE, BRIDGE], value)


def test_only_listening_ports_are_listed(taken: int) -> None:
    with socket.create_connection(("127.0.0.1", taken)) as client:
        listening = ports.listening_ports()
        assert taken in listening
        assert client.getsockname()[1] not in listening
