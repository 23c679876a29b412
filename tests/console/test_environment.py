"""A name that becomes part of keys, channel variables and records is checked at the start."""

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
