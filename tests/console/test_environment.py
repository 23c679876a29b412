"""A name that becomes part of keys, channel variables and records is checked at the start, and so is a folder's."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from console.environment import Environment


@pytest.mark.parametrize("value", ["", "b" * 65, "bridge 1", "bridge:1", "bridge;ll_owner=x", "brücke", "${x}"])
def test_a_name_that_could_not_be_kept_on_the_switch_stops_the_start(tmp_path: Path, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="LIFELINE_BRIDGE_ID is "):
        Environment(tmp_path, {"LIFELINE_BRIDGE_ID": value}).name("LIFELINE_BRIDGE_ID", "bridge-1")


def test_a_good_name_is_taken_as_it_is(tmp_path: Path) -> None:
    good = "b" * 60 + "_.-1"
    assert Environment(tmp_path, {"X": good}).name("X", "bridge-1") == good
    assert Environment(tmp_path, {}).name("X", "bridge-1") == "bridge-1"


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
