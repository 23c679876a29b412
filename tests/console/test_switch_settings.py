"""The settings of several switches: what they mean, and how a wrong one stops the start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from console.environment import Environment
from console.switch_settings import MAIN, SwitchAddress, checked_endpoint, checked_password, further_switches

ROOT = Path(__file__).resolve().parents[2]
THE_FIRST = SwitchAddress(MAIN, "127.0.0.1", 8021, "common")


def read(value: str, tmp_path: Path, **secrets: str) -> tuple[SwitchAddress, ...]:
    env = Environment(tmp_path, {"LIFELINE_SWITCHES": value, **secrets})
    return further_switches(env, env.names("LIFELINE_SWITCHES"), THE_FIRST)


def test_none_are_given_by_default(tmp_path: Path) -> None:
    assert read("", tmp_path) == ()


def test_each_has_a_place_and_the_common_password_or_its_own(tmp_path: Path) -> None:
    found = read("east=10.0.0.2:8021, far-west=[::1]:9", tmp_path, LIFELINE_SECRET_SWITCH_PASSWORD_FAR_WEST="own")
    assert found == (
        SwitchAddress("east", "10.0.0.2", 8021, "common", "LIFELINE_SECRET_SWITCH_PASSWORD_EAST"),
        SwitchAddress("far-west", "::1", 9, "own", "LIFELINE_SECRET_SWITCH_PASSWORD_FAR_WEST"),
    )
    assert [switch.place for switch in found] == ["10.0.0.2:8021", "[::1]:9"]
    assert "own" not in repr(found)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("10.0.0.2:8021", "use name=host:port"),
        ("east=10.0.0.2", "use name=host:port"),
        ("east=10.0.0.2:x", "use name=host:port"),
        ("east=ho st:8021", "use name=host:port"),
        ("East=10.0.0.2:8021", "use up to 32 small letters"),
        ("east=10.0.0.2:0", "use one from 1 to 65535"),
        ("east=10.0.0.2:70000", "use one from 1 to 65535"),
        ("main=10.0.0.2:8021", "give each switch a name of its own"),
        ("east=10.0.0.2:8021,east=10.0.0.3:8021", "names 'east' twice"),
        ("east=127.0.0.1:8021", "is 'main' already"),
        ("east=10.0.0.2:8021,west=10.0.0.2:8021", "is 'east' already"),
    ],
)
def test_a_wrong_list_is_refused_with_the_fix(tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="LIFELINE_SWITCHES") as refused:
        read(value, tmp_path)
    assert said in str(refused.value)


def test_a_password_for_a_switch_that_is_not_there_is_a_typing_error(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="LIFELINE_SECRET_SWITCH_PASSWORD_WEST belongs to no switch"):
        read("east=10.0.0.2:8021", tmp_path, LIFELINE_SECRET_SWITCH_PASSWORD_WEST="x")


def test_what_the_switch_must_not_be_sent_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="LIFELINE_SECRET_X holds a control character"):
        checked_password("LIFELINE_SECRET_X", "a\nb")
    for value in ("", "loopback/9200 &system(x)", "{x=1}loopback/9200", "loopback/${x}"):
        with pytest.raises(ImproperlyConfigured, match="LIFELINE_TEST_CALL_ENDPOINT is"):
            checked_endpoint("LIFELINE_TEST_CALL_ENDPOINT", value)


def test_a_wrong_list_stops_the_start(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIFELINE_")}
    env |= {"LIFELINE_DATA_DIR": str(tmp_path), "LIFELINE_DEMO": "true", "LIFELINE_SWITCHES": "east"}
    start = [sys.executable, "-c", "import console.settings"]
    done = subprocess.run(start, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(
        "LIFELINE_SWITCHES holds 'east': use name=host:port with commas between, such as "
        "east=10.0.0.2:8021,west=10.0.0.3:8021."
    )
