"""Other people's libraries, each in a place of its own outside the repository, so that they cannot disturb ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements-bench.txt"
MODESL = "modesl@1.2.1"
LIMIT_S = 240.0


def bench_python() -> Path | None:
    """An interpreter that has ``requirements-bench.txt``; kept between runs, made again when the file changes."""
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    folder = _folder("venv")
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    steps = [[sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)]]
    if all(_ran(step) for step in steps):
        stamp.write_text(wanted, encoding="utf-8")
        return python
    return None


def modesl_folder() -> Path | None:
    """A ``node_modules`` with modesl, or None when there is no node, or it cannot be installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    folder = _folder("node")
    modules = folder / "node_modules"
    if not (modules / "modesl").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}", encoding="utf-8")
        if not _ran(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), MODESL]):
            return None
    return modules


def _folder(kind: str) -> Path:
    return Path(tempfile.gettempdir()) / f"lifeline-bench-{os.getuid()}" / kind


def _ran(command: list[str]) -> bool:
    try:
        return subprocess.run(command, timeout=LIMIT_S, capture_output=True, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
