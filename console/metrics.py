"""The figures as Prometheus metrics, read at each scrape from the one function that the page uses.

A switch that was not looked at lately has no figures here, but for when it was: an old number is a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog
from django.db import Error as DatabaseError
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from console.figures import figures
from console.switch_panel import Known, SwitchRow, switch_rows

log = structlog.get_logger(__name__)

COUNTS = {
    "live_calls": "Calls on the line now.",
    "live_in_fallback": "Calls on the line now that are in the keypad menu, or with a person after it.",
    "live_unwatched": "Calls on the line now as far as known, whose bridge is gone: they are looked up on the switch.",
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


SWITCHES = {
    "sessions": ("sessions", "Sessions (legs of calls) that the switch holds."),
    "sessions_limit": ("sessions_most", "Sessions that the switch takes at most."),
    "sessions_peak": ("sessions_peak", "Most sessions at once since the switch started."),
    "sessions_per_second_limit": ("sessions_per_s_most", "New sessions a second that the switch takes at most."),
    "uptime_seconds": ("uptime_s", "How long the switch had run when it was looked at."),
}


class FiguresCollector(Collector):
    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            found = figures()
            rows = switch_rows(timezone.now())
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
        bridges = GaugeMetricFamily("lifeline_bridge_up", "1 for a bridge that reported within three seconds.", labels=["bridge"])
        for bridge_id in found.bridges or ():
            bridges.add_metric([bridge_id], 1)
        yield bridges
        workers = GaugeMetricFamily("lifeline_worker_turns", "Turns that a worker holds.", labels=["worker"])
        capacities = GaugeMetricFamily("lifeline_worker_capacity", "Turns that a worker can hold.", labels=["worker"])
        for worker_id, turns, capacity in found.workers or ():
            workers.add_metric([worker_id], turns)
            capacities.add_metric([worker_id], capacity)
        waiting = GaugeMetricFamily("lifeline_turns_waiting", "Turns in the queue that no worker has taken: add workers.")
        if found.turns_waiting is not None:
            waiting.add_metric([], found.turns_waiting)
        yield waiting
        yield workers
        yield capacities
        yield from switch_metrics(rows)

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of a scrape: registering must not ask the database."""
        return []


def switch_metrics(rows: Sequence[SwitchRow]) -> Iterator[GaugeMetricFamily]:
    looked = GaugeMetricFamily(
        "lifeline_switch_looked_at_seconds", "When the switch was looked at last, as a Unix time.", labels=["switch"]
    )
    reachable = GaugeMetricFamily(
        "lifeline_switch_reachable", "Whether the switch answered; absent when it was not looked at lately.", labels=["switch"]
    )
    for row in rows:
        if row.report is not None:
            looked.add_metric([row.name], row.report.looked_at.timestamp())
        if row.known in (Known.REACHABLE, Known.UNREACHABLE):
            reachable.add_metric([row.name], int(row.is_reachable))
    yield looked
    yield reachable
    for name, (field, text) in SWITCHES.items():
        family = GaugeMetricFamily(f"lifeline_switch_{name}", text, labels=["switch"])
        for row in rows:
            if row.is_reachable:
                family.add_metric([row.name], getattr(row.report, field))
        yield family
