"""The list of protections still fits the sources: each patch's text is there once, and what must catch it exists."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.chaos.mutation import Mutation, PatchError
from tests.chaos.mutations import TABLE
from tests.chaos.protections import MUTATIONS
from tests.chaos.report import PAGE
from tests.stack import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_the_patch_applies_and_leaves_python_that_compiles(mutation: Mutation) -> None:
    changed = mutation.applied((ROOT / mutation.path).read_text(encoding="utf-8"))
    if mutation.path.endswith(".py"):
        compile(changed, mutation.path, "exec")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_what_must_catch_it_exists(mutation: Mutation) -> None:
    assert mutation.caught_by
    for test in mutation.caught_by:
        path, _, name = test.partition("::")
        source = (ROOT / path).read_text(encoding="utf-8")
        assert name, f"{test}: a whole file fails for anything"
        assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), test


def test_names_are_given_once() -> None:
    assert [name for name, count in Counter(one.name for one in MUTATIONS).items() if count > 1] == []


def test_the_table_tells_of_each_and_of_no_other_and_that_each_is_caught() -> None:
    told = TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert told is not None
    rows = [row.strip("| ").split(" | ") for row in told[0].splitlines() if row.startswith("| ")][1:]
    assert sorted(name for name, *_ in rows) == sorted(one.name for one in MUTATIONS)
    assert [name for name, _, verdict in rows if verdict.startswith("NOT ")] == []


def test_a_patch_whose_text_is_gone_or_ambiguous_is_refused() -> None:
    mutation = Mutation("x", "x.py", "old", "new", ("t",))
    assert mutation.applied("an old one") == "an new one"
    for source in ("another", "old and old"):
        with pytest.raises(PatchError, match=r"x\.py"):
            mutation.applied(source)
