"""The figures as Prometheus metrics, read at each scrape from the one function that the page uses."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from console.figures import figures

COUNTS = {
    "live_calls": "Calls on the line now.",
    "live_in_fallback": "Calls on the line now that are in the keypad menu, or with a person after it.",
    "ai_failures_failed_over": "Calls today in which the AI side failed and the caller was kept.",
    "ai_failures_dropped": "Calls today in which the AI side failed and the caller was lost.",
    "ai_failures_open": "Calls today whose failure is not settled yet.",
    "sent_straight_to_menu": "Calls today that began in the menu because no AI was usable.",
    "calls_total": "Calls today.",
}


class FiguresCollector(Collector):
    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = figures()
        for name, words in COUNTS.items():
            yield GaugeMetricFamily(f"lifeline_{name}", words, value=getattr(found, name))
        answers = GaugeMetricFamily("lifeline_answer_ms", "End of speech to result, last 15 minutes.", labels=["percentile"])
        for percentile in ("p50", "p95", "p99"):
            value = getattr(found.answer_ms, percentile)
            if value is not None:
                answers.add_metric([percentile], value)
        yield answers
        circuits = GaugeMetricFamily("lifeline_circuit_state", "1 for the state a circuit is in.", labels=["circuit", "state"])
        for view in found.circuits or ():
            circuits.add_metric([view.name, view.state.value], 1)
        yield circuits

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of a scrape: registering must not ask the database."""
        return []
