"""Choosing parts by name."""

from __future__ import annotations

import pytest

from console.launcher.parts import Part, choose

PARTS = [Part(name, ("true",)) for name in ("redis", "bridge", "console")]


@pytest.mark.parametrize(
    ("only", "without", "left"),
    [
        ([], [], ["redis", "bridge", "console"]),
        (["console", "redis"], [], ["redis", "console"]),
        ([], ["bridge"], ["redis", "console"]),
        (["redis", "bridge"], ["bridge"], ["redis"]),
    ],
)
def test_the_parts_named_are_run_in_their_own_order(only: list[str], without: list[str], left: list[str]) -> None:
    assert [part.name for part in choose(PARTS, only, without)] == left


def test_a_name_that_is_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no process brigde; there are redis, bridge, console"):
        choose(PARTS, ["redis"], ["brigde"])
