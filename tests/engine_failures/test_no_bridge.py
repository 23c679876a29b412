"""Every bridge is dead: the switch serves the flow's own menu by itself, from the file that publishing made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from callflows.definition.flow import CLOSED, Snapshot
from callflows.definition.hours import Hours
from ivr_fallback.last_resort import Place, render
from simulator.callers import Patience
from simulator.config import AgentsConfig, SwitchConfig
from simulator.records import CallRecord, Outcome
from simulator.switch import Switch
from simulator.traffic import Traffic, TrafficConfig
from tests.engine_failures.world import CHAIN
from tests.published import Flows

# Nothing listens there.
NO_BRIDGE = "127.0.0.1:1"
# Nothing here but the switch and its caller has a clock.
SPEED = 8.0


def switch_with(flows: Flows, folder: Path, last_resort: Path, refused: frozenset[int] = frozenset()) -> Switch:
    config = SwitchConfig(
        dialplan=CHAIN, inbound_port=None, temp_dir=folder, bridges=NO_BRIDGE, sound_dir=flows.prompt_dir, speed=SPEED,
        agents=AgentsConfig(ring_s=(0.1, 0.2), talk_s=(0.3, 0.4), refused_ports=refused),
        variables=(("lifeline_bridges_next", NO_BRIDGE), ("lifeline_last_resort_dialplan", str(last_resort))),
    )  # fmt: skip
    return Switch(config)


async def call(flows: Flows, switch: Switch, scenario: str) -> CallRecord:
    wishes = TrafficConfig(
        rate=10, limit=1, scenario=scenario, prompt_dir=flows.prompt_dir, flow_snapshot=flows.snapshot_path,
        patience=Patience(leave_s=0.3, think_s=(0.3, 0.3)), seed=1,
    )  # fmt: skip
    await switch.start()
    try:
        traffic = Traffic(switch, wishes)
        await traffic.prepare()
        async with asyncio.timeout(60):
            totals = await traffic.run()
        return totals.records[0]
    finally:
        await switch.stop()


@pytest.mark.django_db
@pytest.mark.parametrize("scenario", [pytest.param("opening_hours", marks=pytest.mark.slow), "person"])
async def test_a_caller_who_speaks_finds_a_person_through_the_flows_own_menu(flows: Flows, tmp_path: Path, scenario: str) -> None:
    record = await call(flows, switch_with(flows, tmp_path, flows.last_resort), scenario)
    assert record.outcome is Outcome.FINISHED, record
    assert record.talked_to_person
    heard = [words for _at, words in record.heard]
    assert "Please choose one of the following." in heard
    assert ("Sorry, I cannot do that at the moment." in heard) == (scenario != "person")
    assert record.heard[0][1] == "Welcome to Lifeline. How can I help you today?"
    assert record.longest_silence_s < 4


@pytest.mark.django_db
async def test_when_nobody_answers_the_caller_is_told_and_not_just_cut_off(flows: Flows, tmp_path: Path) -> None:
    record = await call(flows, switch_with(flows, tmp_path, flows.last_resort, frozenset({5090})), "person")
    heard = [words for _at, words in record.heard]
    assert heard[-2:] == ["Sorry, nobody is free at the moment.", "Thank you for calling. Goodbye."]
    assert record.ended_because == "switch:NORMAL_CLEARING"


@pytest.mark.django_db
async def test_without_the_file_the_tones_lead_to_a_person(flows: Flows, tmp_path: Path) -> None:
    record = await call(flows, switch_with(flows, tmp_path, tmp_path / "none.xml"), "person")
    assert record.talked_to_person
    assert [words for _at, words in record.heard] == ["(agent answers)"]


@pytest.mark.django_db
async def test_a_new_file_is_read_when_the_switch_is_told_to_and_a_broken_one_is_not(flows: Flows, tmp_path: Path) -> None:
    path = tmp_path / "last_resort.xml"
    switch = switch_with(flows, tmp_path, path)
    before = switch.dialplan_stamp()
    path.write_bytes(flows.last_resort.read_bytes())
    assert switch.dialplan_stamp() != before
    assert await switch.api("reloadxml") == "+OK [Success]\n"
    path.write_text("<include>\n<extension>\n</include>\n")
    assert (await switch.api("reloadxml")).startswith("+OK [[")
    record = await call(flows, switch, "opening_hours")
    assert "Please choose one of the following." in [words for _at, words in record.heard]


@pytest.mark.django_db
@pytest.mark.parametrize("scenario", [pytest.param("opening_hours", marks=pytest.mark.slow), "person"])
async def test_outside_opening_hours_the_switch_itself_says_so_and_calls_nobody(
    flows: Flows, tmp_path: Path, scenario: str
) -> None:
    """By the simulated switch's own clock: every day of the week is closed."""
    shut = Snapshot(tuple(replace(flow, hours=Hours("UTC", ((),) * 7)) for flow in flows.snapshot.flows))
    path = tmp_path / "shut.xml"
    path.write_text(render(shut, Place(str(flows.prompt_dir))))
    record = await call(flows, switch_with(flows, tmp_path, path), scenario)
    heard = [words for _at, words in record.heard]
    assert not record.talked_to_person
    assert CLOSED in heard
    assert ("Sorry, I cannot do that at the moment." in heard) == (scenario != "person")
    assert heard[heard.index(CLOSED) + 1] == "For anything else, press star. Otherwise you may hang up."
