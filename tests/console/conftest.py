"""What one test's records were must not be what another one's page shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.figures import latency_reading


@pytest.fixture(autouse=True)
def no_kept_latency() -> Iterator[None]:
    yield
    latency_reading.forget()
