"""Lifeline beside a real switch that has exactly the deployed files, with everything of its own, and what its figures say."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from esl_bridge.control import SwitchControl
from tests.stack import Stack

ESL = os.environ.get("FREESWITCH_ESL", "")


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def control() -> SwitchControl:
    host, port, password = ESL.split(":", 2)
    return SwitchControl(host, int(port), password)


@pytest.fixture(scope="module")
def stack(control: SwitchControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Lifeline beside the real switch, with everything of its own."""
    data_dir = Path(os.environ.get("FREESWITCH_SHARED") or tmp_path_factory.mktemp("shared")) / "lifeline"
    with Stack(
        data_dir,
        # The bridge is where the dialplan seeks it, the rest wherever there is room.
        LIFELINE_RUN_PORTS_FROM="",
        LIFELINE_CONSOLE_PORT=free_port(),
        LIFELINE_MEDIA_PORT=free_port(),
        LIFELINE_ENGINE_STT_PORT=free_port(),
        LIFELINE_ENGINE_HTTP_PORT=free_port(),
        LIFELINE_CIRCUIT_OPEN_S="5",
        LIFELINE_SIMULATE_RATE="0",
        LIFELINE_RUN_WITHOUT="simulator",
        LIFELINE_ESL_PORT=os.environ.get("FREESWITCH_BRIDGE_PORT", "8084"),
        LIFELINE_SWITCH_HOST=control.host,
        LIFELINE_SWITCH_PORT=str(control.port),
        LIFELINE_SECRET_SWITCH_PASSWORD=control.password,
    ) as running:
        yield running
