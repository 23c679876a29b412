"""The Celery application: prompt rendering, roll-ups, probes of the switch. Its tasks live in ``console/tasks.py``."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from console.logs import configure_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")


@setup_logging.connect
def log_like_every_process(**_: object) -> None:
    """When the worker or beat starts; with somebody here Celery sets up nothing of its own, whatever its --loglevel."""
    configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)


app = Celery("lifeline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["console", "callflows"])
# A round that was not taken in time is not worth taking later.
app.conf.beat_schedule = {
    "settle-orphans": {"task": "console.settle_orphans", "schedule": 3.0, "options": {"expires": 2.5}},
    "prune-tallies": {"task": "console.prune_tallies", "schedule": 3600.0, "options": {"expires": 3000.0}},
    "settle-drills": {"task": "console.settle_drills", "schedule": 5.0, "options": {"expires": 4.0}},
    "catch-up": {"task": "callflows.catch_up", "schedule": 30.0, "options": {"expires": 25.0}},
    "watch-switches": {"task": "console.watch_switches", "schedule": 10.0, "options": {"expires": 9.0}},
}
app.conf.beat_scheduler = "console.beat:SteadyScheduler"
