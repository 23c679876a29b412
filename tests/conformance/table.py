"""The table of docs/conformance.md: each scenario, and how it went on the recording, the simulator and a real switch.

Written at the end of a test run by the one who asks for it (CONFORMANCE_TABLE=path); no test reads it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

COLUMNS = ("recording", "simulator", "real switch")
_WORDS = {"passed": "yes", "failed": "**no**", "skipped": "not run"}
_BEGIN, _END = "<!-- table begins -->", "<!-- table ends -->"


class Table:
    """A pytest plugin that notes every scenario's outcome on every line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[tuple[str, str], dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        path, _, name = report.nodeid.partition("::")
        scenario, bracket, parameters = name.partition("[")
        column = next((column for column in COLUMNS if parameters.rstrip("]").startswith(column)), "")
        if "tests/conformance/" not in path or not bracket or not column:
            return
        group = Path(path).stem.removeprefix("test_").replace("_", " ")
        cells = self._rows.setdefault((group, scenario.removeprefix("test_").replace("_", " ")), {})
        if report.outcome != "passed" or (report.when == "call" and cells.get(column) != "failed"):
            cells[column] = report.outcome

    def pytest_sessionfinish(self) -> None:
        about = os.environ.get("CONFORMANCE_SWITCH", "")
        lines = [f"The real switch: {about}.", ""] if about else []
        lines += ["| group | scenario | recording | simulator | real switch |", "|---|---|---|---|---|"]
        for (group, scenario), cells in self._rows.items():
            cells.setdefault("real switch", "skipped")
            words = (_WORDS[cells[column]] if column in cells else "none" for column in COLUMNS)
            lines.append(f"| {group} | {scenario} | {' | '.join(words)} |")
        before, _, rest = self._path.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        self._path.write_text(f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}{after}")
