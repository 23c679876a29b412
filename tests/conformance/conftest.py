"""The lines every scenario runs on, and the table of how it went on each.

A scenario that takes ``line`` runs on the simulator, on a real FreeSWITCH if one is named, and, with the marker
``recording``, on the recording first: what it asserts is then known to hold for a real switch.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.config import AgentsConfig, SwitchConfig
from simulator.switch import Switch
from tests.conformance.lines import Line, RealLine, SimulatedLine, controlled
from tests.conformance.recorded import RecordedLine
from tests.conformance.sip_agent import sip_agent
from tests.conformance.table import Table

CHAIN = Path(__file__).resolve().parents[2] / "deploy/freeswitch/dialplan/lifeline.xml"
ESL = os.environ.get("FREESWITCH_ESL", "")
SPEED = 5.0
# Agents stay on the line until the scenario has them hang up.
AGENTS = AgentsConfig(ring_s=(0.1, 0.2), talk_s=(600.0, 600.0))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "recording(name): the scenario of that recording; it runs on the recording too")
    config.addinivalue_line("markers", "speed(factor): how much faster the simulator's clock runs in this scenario")
    if path := os.environ.get("CONFORMANCE_TABLE"):
        config.pluginmanager.register(Table(Path(path)), "conformance-table")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "line" not in metafunc.fixturenames:
        return
    recorded = ["recording"] if metafunc.definition.get_closest_marker("recording") else []
    real = [pytest.param("real switch", marks=pytest.mark.freeswitch)] if ESL else []
    metafunc.parametrize("line", [*recorded, "simulator", *real], indirect=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
async def line(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Line]:
    if request.param == "recording":
        marker = request.node.get_closest_marker("recording")
        recorded = RecordedLine(marker.args[0])
        yield recorded
        await recorded.close()
    elif request.param == "simulator":
        marker = request.node.get_closest_marker("speed")
        bridges = f"127.0.0.1:{free_port()}"
        config = SwitchConfig(
            dialplan=CHAIN, inbound_port=0, speed=marker.args[0] if marker else SPEED, temp_dir=tmp_path,
            api_expansion=True, agents=AGENTS, bridges=bridges, variables=(("lifeline_bridges_next", bridges),),
        )  # fmt: skip
        switch = Switch(config)
        await switch.start()
        async with controlled("127.0.0.1", switch.inbound_port, config.password) as (control, watch):
            yield SimulatedLine(switch, control, watch, tmp_path)
        await switch.stop()
    else:
        host, port, password = ESL.split(":", 2)
        folder = Path(os.environ.get("FREESWITCH_SHARED", str(tmp_path)))
        here = os.environ.get("FREESWITCH_LISTEN", "127.0.0.1")
        async with controlled(host, int(port), password) as (control, watch), sip_agent(here, name="caller") as telephone:
            real = RealLine(control, watch, folder, (host, int(port), password), telephone)
            yield real
            await real.clean_up()
