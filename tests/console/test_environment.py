"""What settings may be: names that become part of keys and records, folders, secrets, and what is given without a value."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from console.environment import Environment
from tests.stack import ROOT


@pytest.mark.parametrize("value", ["verbose", "TRACE", "10", "NOTSET", "INFO,DEBUG"])
def test_a_level_that_there_is_not_stops_the_start_and_says_which_there_are(tmp_path: Path, value: str) -> None:
    environment = {**os.environ, "LIFELINE_LOG_LEVEL": value, "LIFELINE_DEMO": "true", "LIFELINE_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-c", "import console.settings"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert f"ImproperlyConfigured: LIFELINE_LOG_LEVEL is '{value}': use DEBUG, INFO, WARNING or ERROR." in found.stderr


@pytest.mark.parametrize("value", [" warning\n", "Warning", "WARNING"])
def test_a_choice_is_taken_however_it_is_written(tmp_path: Path, value: str) -> None:
    assert Environment(tmp_path, {"X": value}).one_of("X", "INFO", "INFO", "WARNING") == "WARNING"
    assert Environment(tmp_path, {"X": ""}).one_of("X", "INFO", "INFO", "WARNING") == "INFO"


@pytest.mark.parametrize("value", ["", "b" * 65, "bridge 1", "bridge:1", "bridge;ll_owner=x", "brücke", "${x}"])
def test_a_name_that_could_not_be_kept_on_the_switch_stops_the_start(tmp_path: Path, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="LIFELINE_BRIDGE_ID is "):
        Environment(tmp_path, {"LIFELINE_BRIDGE_ID": value}).name("LIFELINE_BRIDGE_ID", "bridge-1")


def test_a_good_name_is_taken_as_it_is(tmp_path: Path) -> None:
    good = "b" * 60 + "_.-1"
    assert Environment(tmp_path, {"X": good}).name("X", "bridge-1") == good
    assert Environment(tmp_path, {}).name("X", "bridge-1") == "bridge-1"


def test_a_name_that_may_be_left_out_is_checked_when_it_is_given(tmp_path: Path) -> None:
    for value in ({}, {"X": ""}):
        assert Environment(tmp_path, value).name("X", "", most=40) == ""
    assert Environment(tmp_path, {"X": "h" * 40}).name("X", "", most=40) == "h" * 40
    with pytest.raises(ImproperlyConfigured, match="40 at most"):
        Environment(tmp_path, {"X": "h" * 41}).name("X", "", most=40)


@pytest.mark.parametrize(
    "url", ["ws://0.0.0.0:8765/stream", "ws://[::]:8765/stream", "ws://0:8765/", "http://10.0.0.1:8765/", "ws://:8765/", "ws://h:0/"]
)
def test_a_gateways_address_that_no_switch_could_connect_to_stops_the_start(tmp_path: Path, url: str) -> None:
    """A switch that connects to "every address" connects to itself, and every call is in the menu."""
    with pytest.raises(ImproperlyConfigured, match=r"LIFELINE_MEDIA_URL is .* such as LIFELINE_MEDIA_URL=ws://10.0.0.11:9/stream"):
        Environment(tmp_path, {"LIFELINE_MEDIA_URL": url}).media_url("LIFELINE_MEDIA_URL", "127.0.0.1", 9)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]"])
def test_who_listens_on_every_address_must_say_which_one_the_switches_use(tmp_path: Path, host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X is "):
        Environment(tmp_path, {}).media_url("X", host, 9)
    given = Environment(tmp_path, {"X": "wss://gateway.example.org/stream"})
    assert given.media_url("X", host, 9) == "wss://gateway.example.org/stream"


def test_without_it_the_gateways_address_is_where_it_listens(tmp_path: Path) -> None:
    assert Environment(tmp_path, {}).media_url("X", "10.0.0.11", 9) == "ws://10.0.0.11:9/stream"
    assert Environment(tmp_path, {}).media_url("X", "fd00::1", 9) == "ws://[fd00::1]:9/stream"


@pytest.mark.parametrize("place", ["/home/jörg/lifeline", "/home/anna/my calls", "/srv/lifeline (old)", "/srv/$x", "/s" * 260])
def test_a_folder_that_a_switch_plays_nothing_from_stops_the_start_with_its_name_and_the_fix(place: str) -> None:
    name, data_dir = "LIFELINE_PROMPT_DIR", Path("/srv/data")
    with pytest.raises(ImproperlyConfigured, match=f"{name} is .* give the whole path of a folder"):
        Environment(data_dir, {name: place}).sound_folder(name, data_dir / "prompts")
    with pytest.raises(ImproperlyConfigured, match=r"LIFELINE_DATA_DIR is .* for example LIFELINE_DATA_DIR=/var/tmp/lifeline"):
        Environment(Path(place), {}).sound_folder(name, Path(place) / "prompts")


def test_prompts_lie_where_they_are_said_to_which_is_a_whole_path() -> None:
    name, data_dir = "LIFELINE_PROMPT_DIR", Path("/srv/data")
    assert Environment(data_dir, {}).sound_folder(name, data_dir / "prompts") == Path("/srv/data/prompts")
    assert Environment(data_dir, {name: "/srv/p"}).sound_folder(name, Path("/home/jörg/prompts")) == Path("/srv/p")
    for relative in ("prompts", "./prompts", "~/prompts"):
        with pytest.raises(ImproperlyConfigured, match=f"{name} is '{relative}'"):
            Environment(data_dir, {name: relative}).sound_folder(name, data_dir / "prompts")


@pytest.mark.parametrize("value", ["", "  "])
def test_a_path_or_a_secret_without_a_value_is_not_given(tmp_path: Path, value: str) -> None:
    given = Environment(tmp_path, {"X": value})
    assert given.path("X", tmp_path / "spool") == tmp_path / "spool"
    assert given.secret("X", "k" * 40) == "k" * 40
    assert given.text("X", "127.0.0.1") == "127.0.0.1"
    assert given.flag("X") is False


def test_a_list_may_be_empty(tmp_path: Path) -> None:
    assert Environment(tmp_path, {"X": ""}).networks("X", "127.0.0.0/8") == []


@pytest.mark.parametrize("read", ["number", "port", "url"])
def test_a_number_or_an_address_without_a_value_stops_the_start(tmp_path: Path, read: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X is "):
        getattr(Environment(tmp_path, {"X": ""}), read)("X", 1)


def test_a_short_secret_stops_the_start_and_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="X is too short") as refused:
        Environment(tmp_path, {"X": "hunter2"}).secret("X", "k" * 40)
    assert "hunter2" not in str(refused.value)


def test_no_setting_of_these_kinds_is_read_in_a_way_that_takes_it_empty() -> None:
    """The process that is started so has its own folder, the loopback address and a key that nobody knows."""
    empty = {
        "LIFELINE_DATA_DIR", "LIFELINE_SPOOL_DIR", "LIFELINE_FLOW_SNAPSHOT", "LIFELINE_LAST_RESORT_DIALPLAN", "LIFELINE_PROMPT_DIR",
        "LIFELINE_ENGINE_SNAPSHOT", "LIFELINE_DIALPLAN", "LIFELINE_ESL_HOST", "LIFELINE_MEDIA_HOST", "LIFELINE_CONSOLE_HOST",
        "LIFELINE_ENGINE_HOST", "LIFELINE_SWITCH_HOST", "LIFELINE_MEDIA_SECRET", "LIFELINE_CHAIN_EXTENSION",
    }  # fmt: skip
    look = f"from console import settings; print([str(getattr(settings, name)) for name in {sorted(empty)}])"
    environ = {**os.environ, **dict.fromkeys(empty, ""), "LIFELINE_SECRET_KEY": "k" * 40}
    run = subprocess.run([sys.executable, "-c", look], env=environ, check=True, capture_output=True, text=True, cwd=ROOT)
    found = dict(zip(sorted(empty), ast.literal_eval(run.stdout), strict=True))
    assert {name: value for name, value in found.items() if value in ("", ".", str(ROOT))} == {}
    assert found["LIFELINE_MEDIA_SECRET"] == "k" * 40
    assert found["LIFELINE_ESL_HOST"] == found["LIFELINE_MEDIA_HOST"] == found["LIFELINE_CONSOLE_HOST"] == "127.0.0.1"
