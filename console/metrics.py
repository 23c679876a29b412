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
from console.last_resort_panel import last_resort_row
from console.speed import Speed, speed
from console.spools import SpoolRow
from console.switch_panel import Known, SwitchRow, switch_rows
from console.tallies import MixedReadingError

log = structlog.get_logger(__name__)

COUNTS = {
    "live_calls": "Calls on the line now.",
    "live_in_fallback": "Calls on the line now that are in the keypad menu, or with a person after it.",
    "live_unwatched": "Calls on the line now as far as known, whose bridge is gone: only switches know what became of them.",
    "ai_failures_failed_over": "Calls today in which the AI side failed and the caller was kept.",
    "ai_failures_dropped": "Calls today in which the AI side failed and the caller was lost.",
    "ai_failures_dropped_before": "The same in the seven days before today.",
    "ai_failures_dropped_ever": "The same whenever it was: an alert sees a caller lost before midnight and recorded after it.",
    "ai_failures_recovered": "Calls today that lost their bridge and went on with another: the AI need not have failed.",
    "ai_failures_open": "Calls whose failure is not settled yet.",
    "sent_straight_to_menu": "Calls today that began in the menu because no AI was usable.",
    "calls_total": "Calls today.",
    "calls_ended": "Calls today that have ended.",
    "served_by_ai": "Requests that callers made today and the AI served to the end.",
    "served_by_menu": "Requests that callers made today and the keypad menu served to the end.",
    "journal_events_lost": "Events of today's calls that found no room: the other figures lack them.",
    "not_understood": "Calls today that went to the menu because the AI worked and did not understand the caller.",
}
TIMES = (
    ("stage", "total", "Until the answer was complete"),
    ("stage_first_byte", "first_byte", "Until the first sign of the answer"),
    ("stage_wait", "queue", "Waited for a place at the engine"),
    ("stage_connect", "connect", "Until a new connection stood"),
)
SPOOLS = {
    "bytes": ("bytes", "What all spools in the process's folder hold."),
    "limit_bytes": ("limit_bytes", "What they may hold; beyond it newer events are lost."),
    "events_waiting": ("waiting", "The process's events that are not recorded yet."),
    "oldest_seconds": ("oldest_s", "How long the oldest of them has waited."),
    "events_lost": ("lost", "The process's events that found no room and of which the journal does not tell yet."),
}
SWITCHES = {
    "sessions": ("sessions", "Sessions (legs of calls) that the switch holds."),
    "sessions_limit": ("sessions_most", "Sessions that the switch takes at most."),
    "sessions_peak": ("sessions_peak", "Most sessions at once since the switch started."),
    "sessions_per_second_limit": ("sessions_per_s_most", "New sessions a second that the switch takes at most."),
    "uptime_seconds": ("uptime_s", "How long the switch had run when it was looked at."),
}


class SpeedCollector(Collector):
    """What the page on speed shows of the last hour and of today."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            found = speed()
        except DatabaseError as error:
            log.warning("the times cannot be read for metrics", error=str(error))
        except MixedReadingError:
            log.info("a recorder catches up; no times in this scrape")
        else:
            yield from speed_metrics(found)

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of a scrape: registering must not ask the database."""
        return []


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
        yield from spool_metrics(found.spools)
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
        yield from last_resort_metrics()

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of a scrape: registering must not ask the database."""
        return []


def spool_metrics(rows: Sequence[SpoolRow] | None) -> Iterator[GaugeMetricFamily]:
    """Of those whose spool is known now; when each told last, of all."""
    told = GaugeMetricFamily(
        "lifeline_spool_told_at_seconds", "When the process last told how full its spool is, as a Unix time.", labels=["process"]
    )
    for row in rows or ():
        if row.report is not None:
            told.add_metric([row.process], row.report.at_s)
    yield told
    for name, (field, text) in SPOOLS.items():
        family = GaugeMetricFamily(f"lifeline_spool_{name}", text, labels=["process"])
        for row in rows or ():
            if row.is_known:
                family.add_metric([row.process], getattr(row.report, field))
        yield family


def last_resort_metrics() -> Iterator[GaugeMetricFamily]:
    row = last_resort_row()
    rendered = GaugeMetricFamily(
        "lifeline_last_resort_rendered_at_seconds", "When the menu of last resort here was rendered, as a Unix time."
    )
    if row.rendered_ms is not None:
        rendered.add_metric([], row.rendered_ms / 1000)
    yield rendered
    ready = GaugeMetricFamily(
        "lifeline_last_resort_ready", "1: it is of the published flows, and the console's disk has every sound file."
    )
    ready.add_metric([], 0 if row.problem else 1)
    yield ready


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


WHO = ["stage", "engine", "cache"]


def speed_metrics(found: Speed) -> Iterator[GaugeMetricFamily]:
    uses = GaugeMetricFamily("lifeline_stage_uses", "Answers and failures in the last hour.", labels=WHO)
    failures = GaugeMetricFamily("lifeline_stage_failures", "Failures in the last hour.", labels=[*WHO, "kind"])
    retries = GaugeMetricFamily("lifeline_stage_retries", "Attempts after the first in the last hour.", labels=WHO)
    for stage in found.stages:
        uses.add_metric(stage.by, stage.uses)
        retries.add_metric(stage.by, stage.retries)
        for kind, count in stage.failures.items():
            failures.add_metric([*stage.by, kind], count)
    yield from (uses, failures, retries)
    for name, measure, text in TIMES:
        family = GaugeMetricFamily(f"lifeline_{name}_seconds", f"{text}, answers of the last hour.", labels=[*WHO, "quantile"])
        for stage in found.stages:
            times = getattr(stage, measure)
            for quantile, value_ms in (("0.5", times.p50), ("0.95", times.p95), ("0.99", times.p99)):
                if value_ms is not None:
                    family.add_metric([*stage.by, quantile], value_ms / 1000)
        yield family
    hits = GaugeMetricFamily("lifeline_cache_answers", "Answers from a cache in the last hour.", labels=["stage", "cache"])
    answers = GaugeMetricFamily(
        "lifeline_cache_answers_of", "All answers of the stage in the last hour.", labels=["stage", "cache"]
    )
    for cache in found.caches:
        hits.add_metric([cache.stage, cache.cache], cache.hits)
        answers.add_metric([cache.stage, cache.cache], cache.answers)
    yield from (hits, answers)
    tokens = GaugeMetricFamily("lifeline_tokens_today", "Tokens since midnight; read includes cached.", labels=[*WHO, "kind"])
    cost = GaugeMetricFamily("lifeline_cost_today", "Cost since midnight in the currency of the prices.", labels=WHO)
    for one in found.today:
        for kind, count in (("read", one.tokens_read), ("cached", one.tokens_cached), ("written", one.tokens_written)):
            if count:
                tokens.add_metric([*one.by, kind], count)
        cost.add_metric(one.by, one.cost)
    yield from (tokens, cost)
