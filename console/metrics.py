"""The figures as Prometheus metrics, read at each scrape from the one function that the page uses."""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from django.db import Error as DatabaseError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from console.figures import figures

log = structlog.get_logger(__name__)

COUNTS = {
    "live_calls": "Calls on the line now.",
    "live_in_fallback": "Calls on the line now that are in the keypad menu, or with a person after it.",
    "ai_failures_failed_over": "Calls today in which the AI side failed and the caller was kept.",
    "ai_failures_dropped": "Calls today in which the AI side failed and the caller was lost.",
    "ai_failures_recovered": "Calls today in which the AI side failed and the same turn succeeded after all.",
    "ai_failures_open": "Calls whose failure is not settled yet.",
    "sent_straight_to_menu": "Calls today that began in the menu because no AI was usable.",
    "calls_total": "Calls today.",
    "calls_ended": "Calls today that have ended.",
    "served_by_ai": "Requests that callers made today and the AI served to the end.",
    "served_by_menu": "Requests that callers made today and the keypad menu served to the end.",
    "not_understood": "Calls today that went to the menu because the AI worked and did not understand the caller.",
}


class FiguresCollector(Collector):
    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            found = figures()
        except DatabaseError as error:  # The process's other metrics are worth having all the same.
            log.warning("the figures cannot be read for metrics", error=str(error))
            return
        for name, words in COUNTS.items():
            yield GaugeMetricFamily(f"lifeline_{name}", words, value=getattr(found, name))
        lag = GaugeMetricFamily("lifeline_recording_lag_seconds", "How long the oldest journal entry waits to be recorded.")
        if found.recording_lag_s is not None:
            lag.add_metric([], found.recording_lag_s)
        yield lag
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
        workers = GaugeMetricFamily("lifeline_worker_turns", "Turns that a worker holds.", labels=["worker"])
        capacities = GaugeMetricFamily("lifeline_worker_capacity", "Turns that a worker can hold.", labels=["worker"])
        for worker_id, turns, capacity in found.workers or ():
            workers.add_metric([worker_id], turns)
            capacities.add_metric([worker_id], capacity)
        yield workers
        yield capacities

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of a scrape: registering must not ask the database."""
        return []
