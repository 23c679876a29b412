"""The records on a real PostgreSQL, where writers are really at once: the same figures, and nothing twice.

A test run has one database, so the cases, and some of the tests that other parts have, are run by a pytest of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.on_postgres.day import records
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ALSO = ("tests/console/test_circuit_moves.py", "tests/console/test_projection.py", "tests/callflows/test_claims.py")
LIMIT_S = 110.0


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


# Of the session: pytest-django puts tests with a database before all others, and a module's would run twice.
@pytest.fixture(scope="session")
def ran(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What the other pytest said, and the file with what PostgreSQL made of the day."""
    told = tmp_path_factory.mktemp("postgres") / "records.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIFELINE_", "DJANGO_", "PYTEST_"))}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/on_postgres/cases.py", *ALSO)
    environment = {**kept, "LIFELINE_TEST_DATABASE_URL": server.url(), "LIFELINE_TEST_RECORDS": str(told)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return done, told


def test_the_cases_of_concurrent_writers_and_other_parts_tests_pass(
    ran: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, _ = ran
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout


@pytest.mark.django_db
def test_one_journal_makes_the_same_rows_and_figures_on_sqlite_and_on_postgresql(
    ran: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, told = ran
    assert told.exists(), done.stdout[-8000:]
    assert records().splitlines() == told.read_text().splitlines()
