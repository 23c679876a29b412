"""One running stack for all end-to-end tests of a session. A test that breaks something mends it before it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Stack(LIFELINE_SIMULATE_RATE="0", LIFELINE_CIRCUIT_OPEN_S="5") as running:
        yield running
