"""How the two figures are read from a page and from metrics, and how many ways do not agree."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string

from tests.chaos.four_ways import TwoFigures, differing, of_metrics, of_page, of_rows

METRICS = """# HELP lifeline_ai_failures_failed_over Kept.
# TYPE lifeline_ai_failures_failed_over gauge
lifeline_ai_failures_failed_over 12.0
# HELP lifeline_ai_failures_dropped Lost.
# TYPE lifeline_ai_failures_dropped gauge
lifeline_ai_failures_dropped 1.0
"""


def call(*outcomes: str) -> dict[str, object]:
    return {"incidents": [{"outcome": one} for one in outcomes]}


def test_the_pages_own_template_is_read() -> None:
    figures = {"ai_failures_failed_over": 1234, "ai_failures_dropped": 5}
    assert of_page(render_to_string("console/regions/figures.html", {"figures": figures})) == TwoFigures(1234, 5)


def test_metrics_are_read_and_a_missing_one_is_no_zero() -> None:
    assert of_metrics(METRICS) == TwoFigures(12, 1)
    with pytest.raises(AssertionError, match="dropped"):
        of_metrics(METRICS.split("# HELP lifeline_ai_failures_dropped")[0])


def test_a_call_is_counted_once_and_a_drop_in_it_weighs_more() -> None:
    calls = [call(), call("recovered"), call("failed_over", "failed_over"), call("failed_over", "dropped"), call("dropped")]
    assert of_rows(calls) == TwoFigures(1, 2)


def test_ways_that_differ_from_the_rows_are_counted() -> None:
    kept, lost = TwoFigures(3, 0), TwoFigures(2, 1)
    assert differing({"page": kept, "metrics": kept, "figures --json": kept, "database": kept}) == 0
    assert differing({"page": kept, "metrics": lost, "figures --json": kept, "database": lost}) == 2
