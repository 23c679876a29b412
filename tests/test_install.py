"""The installation scripts with a stand-in for pip: what they say, and that a failure is never called a success."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Stands in for .venv/bin/python: pip is recorded and may be told to fail, everything else is the real Python.
PYTHON = """#!/usr/bin/env bash
if [ "$1 $2" = "-m pip" ]; then
    echo "$*" >>"$PIP_LOG"
    if [ -n "${PIP_FAILS:-}" ]; then echo "ERROR: No matching distribution found" >&2; exit 1; fi
    exit 0
fi
if [ "$2" = "import ESL" ]; then exit "${ESL_MISSING:-0}"; fi
exec "$REAL_PYTHON" "$@"
"""


class Clone:
    """A copy of what the scripts read, with a virtual environment that installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "deploy").mkdir(parents=True)
        for name in ("install.sh", "install-python-esl.sh"):
            shutil.copy(ROOT / "deploy" / name, folder / "deploy" / name)
        for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt", "Makefile"):
            shutil.copy(ROOT / name, folder / name)
        self.pip_log = folder / "pip.log"

    def make_venv(self, version: str = "") -> None:
        python = self.folder / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {version}\n" if version else PYTHON)
        python.chmod(0o755)

    def install(self, *args: str, script: str = "install.sh", **env: str) -> subprocess.CompletedProcess[str]:
        base = {"PATH": "/usr/bin:/bin", "PIP_LOG": str(self.pip_log), "REAL_PYTHON": sys.executable}
        return subprocess.run(
            ["bash", f"deploy/{script}", *args],
            cwd=self.folder,
            env=base | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def pip_calls(self) -> list[str]:
        return self.pip_log.read_text().splitlines() if self.pip_log.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "a clone")


def test_pip_runs_when_the_requirements_changed_and_only_then(clone: Clone) -> None:
    clone.make_venv()
    assert clone.install().returncode == 0
    assert len(clone.pip_calls) == 1
    assert clone.pip_calls[0].endswith("install --quiet --quiet -r requirements.txt -c constraints.txt")

    second = clone.install()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(clone.pip_calls) == 1

    with (clone.folder / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    assert clone.install().returncode == 0
    assert len(clone.pip_calls) == 2


def test_the_development_requirements_have_a_stamp_of_their_own(clone: Clone) -> None:
    clone.make_venv()
    clone.install()
    assert clone.install("--dev").returncode == 0
    assert "-r requirements-dev.txt" in clone.pip_calls[1]
    clone.install()
    clone.install("--dev")
    assert len(clone.pip_calls) == 2


def test_a_failed_pip_is_a_failed_start_and_is_tried_again(clone: Clone) -> None:
    clone.make_venv()
    failed = clone.install(PIP_FAILS="1")
    assert failed.returncode == 1
    assert "ERROR: No matching distribution found" in failed.stderr
    assert "pip could not install requirements.txt (its reason is above). Nothing was started." in failed.stderr
    assert clone.install().returncode == 0
    assert len(clone.pip_calls) == 2


@pytest.mark.parametrize(("version", "named"), [("3.10", "3.10"), ("3.13", "3.13")])
def test_a_python_of_another_version_is_refused_with_the_fix(clone: Clone, version: str, named: str) -> None:
    other = clone.folder / "python3"
    other.write_text(f"#!/bin/sh\necho {version}\n")
    other.chmod(0o755)
    refused = clone.install(PYTHON=str(other))
    assert refused.returncode == 1
    assert f"Python 3.11 is needed, and {other} is {named}" in refused.stderr
    assert "make run PYTHON=python3.11" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (clone.folder / ".venv").exists()


def test_a_python_that_is_not_there_is_refused_with_the_fix(clone: Clone) -> None:
    refused = clone.install(PYTHON="python3.11-nowhere")
    assert refused.returncode == 1
    assert "python3.11-nowhere is not there" in refused.stderr


def test_a_venv_of_another_python_is_refused_with_the_fix(clone: Clone) -> None:
    clone.make_venv("3.12")
    refused = clone.install()
    assert refused.returncode == 1
    assert "make clean" in refused.stderr


@pytest.mark.slow
def test_a_new_clone_gets_a_venv_of_its_own(clone: Clone) -> None:
    made = clone.install(PYTHON=sys.executable, PIP_NO_INDEX="1")  # pip finds nothing and says so: no network needed
    assert "making .venv with Python 3.11" in made.stdout
    assert (clone.folder / ".venv/bin/python").exists()
    assert made.returncode == 1
    assert "Nothing was started" in made.stderr


def test_without_headers_everything_but_the_control_port_goes_on(clone: Clone, tmp_path: Path) -> None:
    clone.make_venv()
    done = clone.install(ESL_MISSING="1", LIFELINE_INCLUDE_DIR=str(tmp_path))
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "lifeline: the switch's control port is off, everything else runs: python-ESL needs gcc and Python's headers: "
        "apt-get install gcc python3-dev, then start again."
    ]
    assert len(clone.pip_calls) == 1, "nothing was built"


def test_a_build_that_fails_goes_on_too_and_says_where_the_reason_is(clone: Clone, tmp_path: Path) -> None:
    clone.make_venv()
    (tmp_path / "Python.h").touch()
    compiler = tmp_path / "gcc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    done = clone.install(
        ".venv", script="install-python-esl.sh", ESL_MISSING="1", PIP_FAILS="1",
        LIFELINE_INCLUDE_DIR=str(tmp_path), PATH=f"{tmp_path}:/usr/bin:/bin",
    )  # fmt: skip
    assert done.returncode == 1
    assert "could not be built; why is in .venv/python-esl-build.log" in done.stderr
    assert "No matching distribution" in (clone.folder / ".venv/python-esl-build.log").read_text()
