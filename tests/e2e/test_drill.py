"""A drill on a running stack: simulated callers meet it, all are kept, and it ends by itself although the console is dead."""

from __future__ import annotations

import pytest

from ai_engine.drills import store
from tests.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.timeout(170)
def test_a_drill_ends_by_itself_and_its_report_passes() -> None:
    with Stack(LIFELINE_SIMULATE_RATE="1.5", LIFELINE_CIRCUIT_OPEN_S="1") as stack:
        stack.manage("drill", "start", "refuse", "nlu", "--for", "14")
        stack.hold("console")

        url = stack.state["LIFELINE_REDIS_DURABLE_URL"]
        assert store.current(url) is not None
        stack.until(lambda: store.current(url) is None, "the drill's end", 60)
        said = stack.manage("drill", "list").stdout
        assert "simulated calls only: Passed" in said
        assert "lost 0" in said
        assert "calls met 0" not in said
        assert "circuit open after –" not in said
        assert "sent straight to the menu 0" not in said
        assert stack.figures()["ai_failures_dropped"] == 0
