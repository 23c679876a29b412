"""Whether there is a real switch to ask, and whether it is one that can be asked."""

from __future__ import annotations

import os

import pytest

from tests.conformance.lines import controlled

MODULES = ("mod_event_socket", "mod_commands", "mod_dptools", "mod_dialplan_xml", "mod_loopback", "mod_sofia", "mod_sndfile",
           "mod_native_file", "mod_tone_stream")  # fmt: skip


@pytest.mark.freeswitch
async def test_the_real_switch_has_what_the_scenarios_need() -> None:
    place = os.environ.get("FREESWITCH_ESL", "")
    if not place:
        pytest.skip("no real switch: with FREESWITCH_ESL=host:port:password every scenario is run on it too")
    host, port, password = place.split(":", 2)
    async with controlled(host, int(port), password) as (control, _):
        assert "is ready" in await control.api("status")
        missing = [module for module in MODULES if await control.api(f"module_exists {module}") != "true"]
        assert not missing
        assert "INTERNAL" in (await control.api("sofia status profile internal")).upper()
