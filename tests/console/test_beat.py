"""Periodic tasks go on when the clock was set: forward, when they would all be late, and back, when none would be due."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from console.beat import SteadyScheduler
from console.celery import app

HOUR_S = 3600.0


class Clock:
    """The time of day as processes read it; what passes is monotonic and stays as it is."""

    def __init__(self) -> None:
        self.step_s = 0.0
        self._real = time.time

    def __call__(self) -> float:
        return self._real() + self.step_s


def beat(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """With the product's own tasks, of which those that are sent are noted."""
    sent: list[str] = []
    scheduler: Any = SteadyScheduler(app, schedule_filename="", max_interval=1)
    scheduler.merge_inplace(app.conf.beat_schedule)
    scheduler.producer = None  # Nothing is sent.
    monkeypatch.setattr(scheduler, "apply_entry", lambda entry, producer=None: sent.append(entry.name))
    return scheduler, sent


def passes(scheduler: Any, clock: Clock, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """So much time, and the scheduler does all that is due in it."""
    clock.step_s += seconds
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + seconds)
    while scheduler.tick() == 0:
        pass


def test_the_products_scheduler_is_this_one_and_has_its_tasks() -> None:
    assert app.conf.beat_scheduler == "console.beat:SteadyScheduler"
    scheduler: Any = SteadyScheduler(app, schedule_filename="", max_interval=300)
    assert set(app.conf.beat_schedule) <= set(scheduler.schedule)
    assert scheduler.max_interval <= 1, "a step is noticed within a second"


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_after_a_clock_that_was_wrong_for_a_moment_every_task_goes_on(step_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    now = app.now
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(app, "now", lambda: now() + timedelta(seconds=clock.step_s))
    scheduler, sent = beat(monkeypatch)
    passes(scheduler, clock, 11.0, monkeypatch)
    assert "settle-orphans" in sent
    clock.step_s += step_s
    passes(scheduler, clock, 11.0, monkeypatch)
    clock.step_s -= step_s
    passes(scheduler, clock, 0.0, monkeypatch)
    sent.clear()
    passes(scheduler, clock, 11.0, monkeypatch)
    assert {"settle-orphans", "settle-drills", "watch-switches"} <= set(sent)
