"""Whose processor time is whose: each process counts for the nearest that has a name."""

from __future__ import annotations

from tests.chaos.cpu import _nearest

PARENTS = {10: {"ppid": 1}, 20: {"ppid": 10}, 30: {"ppid": 20}, 40: {"ppid": 30}, 50: {"ppid": 1}}
NAMES = {10: "launcher", 30: "bridge"}


def test_a_process_counts_for_itself_or_for_the_nearest_above_it_that_has_a_name() -> None:
    assert {pid: _nearest(pid, NAMES, PARENTS) for pid in PARENTS} == {
        10: "launcher", 20: "launcher", 30: "bridge", 40: "bridge", 50: None,
    }  # fmt: skip


def test_one_that_ended_meanwhile_counts_for_nobody() -> None:
    assert _nearest(99, NAMES, PARENTS) is None
