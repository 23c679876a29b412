"""The table that a run makes when it is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.engine_failures.table import Table


@pytest.fixture(scope="session")
def table() -> Any:
    """Written at the end when ENGINE_FAILURES_TABLE names the page; no test reads it."""
    made = Table()
    yield made
    if path := os.environ.get("ENGINE_FAILURES_TABLE"):
        made.write(Path(path))
