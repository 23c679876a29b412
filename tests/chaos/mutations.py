"""``python -m tests.chaos.mutations``: take each single protection away, and see what fails.

Owns the copy of the sources in which that is done, and the table of ``docs/reliability.md``. The list is
:mod:`tests.chaos.protections`'.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.mutation import Mutation
from tests.chaos.protections import MUTATIONS
from tests.chaos.report import PAGE
from tests.stack import ROOT

BEGIN, END = "<!-- mutations: begin -->", "<!-- mutations: end -->"
TABLE = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "staticfiles", ".lifeline", "node_modules")
# A test that takes longer waits for what was taken away, which is a failure like any other; the rest may take a loaded machine.
ONE_TEST_S = 50
LIMIT_S = 240.0
FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)
PYTEST_PASSED, PYTEST_FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """``caught_by``: the tests that failed; empty when nothing did. ``trouble``: why nothing can be said."""

    mutation: Mutation
    caught_by: tuple[str, ...]
    took_s: float
    trouble: str = ""


def run(mutations: Sequence[Mutation]) -> list[Verdict]:
    """In a copy of the sources, one after the other. Raises AssertionError when their tests fail without any mutation."""
    with tempfile.TemporaryDirectory(prefix="ll-mutations-") as temporary:
        copy = Path(temporary) / "lifeline"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
        # Some look for the environment's programs beside the sources.
        (copy / ".venv").symlink_to(ROOT / ".venv")
        every = sorted({test for mutation in mutations for test in mutation.caught_by})
        sound = _pytest(copy, every, limit_s=LIMIT_S * 5)
        assert sound.returncode == PYTEST_PASSED, f"they fail without any mutation:\n{sound.stdout[-4000:]}"
        return [_told(_verdict(copy, mutation)) for mutation in mutations]


def _verdict(copy: Path, mutation: Mutation) -> Verdict:
    path = copy / mutation.path
    original = path.read_text(encoding="utf-8")
    path.write_text(mutation.applied(original), encoding="utf-8")
    began_s = time.monotonic()
    try:
        done = _pytest(copy, mutation.caught_by, limit_s=LIMIT_S)
    except subprocess.TimeoutExpired:
        return Verdict(mutation, (), time.monotonic() - began_s, f"no end within {LIMIT_S:g} s")
    finally:
        path.write_text(original, encoding="utf-8")
    took_s = time.monotonic() - began_s
    failed = tuple(dict.fromkeys(name.split("[")[0] for name in FAILED.findall(done.stdout)))
    if done.returncode == PYTEST_FAILED and failed:
        return Verdict(mutation, failed, took_s)
    # Anything else, such as a module that cannot be imported, would be caught by everything and proves nothing.
    trouble = "" if done.returncode == PYTEST_PASSED else f"pytest ended with {done.returncode}: {done.stdout[-600:]}"
    return Verdict(mutation, (), took_s, trouble)


def _pytest(copy: Path, tests: Sequence[str], *, limit_s: float) -> subprocess.CompletedProcess[str]:
    limit = [f"--timeout={ONE_TEST_S}", "--timeout-method=signal"]
    words = ["-q", "-p", "no:cacheprovider", "-o", "addopts=--strict-markers", "--tb=no", "-rf", *limit, *tests]
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", *words], cwd=copy, capture_output=True, text=True, timeout=limit_s, check=False
    )


def _told(verdict: Verdict) -> Verdict:
    sys.stdout.write(f"{verdict.took_s:6.1f} s  {verdict.mutation.name}: {_words(verdict)}\n")
    sys.stdout.flush()
    return verdict


def _words(verdict: Verdict) -> str:
    if verdict.trouble:
        return f"NOT KNOWN ({verdict.trouble})"
    return ", ".join(_short(name) for name in verdict.caught_by) or "NOT CAUGHT"


def _short(test: str) -> str:
    path, _, name = test.partition("::")
    return f"`{Path(path).stem}`: {name.removeprefix('test_').replace('_', ' ')}"


def table(verdicts: Sequence[Verdict]) -> str:
    caught = sum(bool(verdict.caught_by) for verdict in verdicts)
    head = [f"`make chaos-mutations`: {caught} of {len(verdicts)} protections cannot be taken away unnoticed.", ""]
    rows = [f"| {verdict.mutation.name} | `{verdict.mutation.path}` | {_words(verdict)} |" for verdict in verdicts]
    return "\n".join([*head, "| without this protection | in | fails |", "|---|---|---|", *rows])


def write(verdicts: Sequence[Verdict]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    replaced = TABLE.sub(lambda _: f"{BEGIN}\n{table(verdicts)}\n{END}", text)
    PAGE.write_text(replaced, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutations", description="Take away one protection at a time.")
    parser.add_argument("--only", default="", help="only those whose names have one of these words in them, with commas between")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    given = parser.parse_args()
    words = [word.strip() for word in given.only.split(",") if word.strip()]
    chosen = [one for one in MUTATIONS if not words or any(word in one.name for word in words)]
    verdicts = run(chosen)
    if given.write:
        write(verdicts)
    return 0 if all(verdict.caught_by for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
