"""One wish to publish: handed to Celery when a broker answers, done by exactly one process, its progress kept.

Owns the job's states and who may do it. What publishing is belongs to ``publishing.py``.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import Celery
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from callflows import disk, publishing
from callflows.errors import CallflowsError, PublishRefusedError
from callflows.models import Flow, FlowVersion, PublishJob
from espeak.errors import SpeechError

log = structlog.get_logger(__name__)

TASK = "callflows.publish_flow"
# A worker that is there takes a job within milliseconds; after this the asking process does it itself.
QUEUE_PATIENCE = timedelta(seconds=5)
# Progress is written with every batch of prompts, each well below a second.
STALE_AFTER = timedelta(seconds=60)
# The page waits for this; a broker on the same network answers in a millisecond.
BROKER_TIMEOUT_S = 1.0
STOPPED_EARLY = f"The process that was publishing stopped before it had written every file. {disk.LATER}"

State = PublishJob.State


def begin(flow: Flow, user: User | None, note: str = "") -> PublishJob:
    """The flow's job that is under way, else a new one, queued; it is done here and now when no broker answers."""
    for job in PublishJob.objects.filter(flow=flow, state__in=[State.QUEUED, State.RUNNING]):
        if not end_if_stale(job):
            return job
    job = PublishJob.objects.create(flow=flow, user=user, note=note)
    if not _enqueue(job):
        run(job.pk)
        job.refresh_from_db()
    return job


def look(job: PublishJob) -> PublishJob:
    """The job's present state. One that no worker took is done here; one whose process died has ended."""
    if job.state == State.QUEUED and timezone.now() - job.created_at > QUEUE_PATIENCE:
        run(job.pk)
        job.refresh_from_db()
    end_if_stale(job)
    return job


def end_if_stale(job: PublishJob) -> bool:
    """A process that died after the version was stored has published it: calls use it."""
    if timezone.now() - job.heartbeat_at <= STALE_AFTER:
        return False
    died = PublishJob.objects.filter(pk=job.pk, state=job.state, heartbeat_at=job.heartbeat_at)
    if job.version_id is None:
        end = {"state": State.FAILED, "problems": ["The process that was publishing has stopped. Publish again."]}
    else:
        end = {"state": State.PUBLISHED, "problems": [STOPPED_EARLY]}
    if job.state in (State.QUEUED, State.RUNNING) and died.update(**end):
        job.refresh_from_db()
        return True
    return False


def run(job_id: int) -> None:
    """Do a queued job; one that somebody else has taken is left alone, so a second delivery does nothing."""
    claimed = PublishJob.objects.filter(pk=job_id, state=State.QUEUED)
    if not claimed.update(state=State.RUNNING, heartbeat_at=timezone.now()):
        return
    job = PublishJob.objects.select_related("flow", "user").get(pk=job_id)

    def progress(done: int, total: int) -> None:
        PublishJob.objects.filter(pk=job_id).update(done=done, total=total, heartbeat_at=timezone.now())

    def stored(version: FlowVersion) -> None:
        """Under way again, should somebody have thought that this process has stopped."""
        PublishJob.objects.filter(pk=job_id).update(version=version, state=State.RUNNING, heartbeat_at=timezone.now())

    owed: list[str] = []
    try:
        elsewhere = import_string(settings.LIFELINE_SWITCH_READINESS)
        publishing.publish(
            job.flow, job.user, progress=progress, note=job.note, elsewhere=elsewhere, stored=stored, warn=owed.append
        )
    except PublishRefusedError as error:
        _end(job, State.REFUSED, [str(problem) for problem in error.problems])
    except (CallflowsError, SpeechError, OSError) as error:
        _fail(job, str(error))
    except Exception:  # Job boundary: whatever happened, the person who waits is told.
        log.exception("publish_failed", flow=job.flow.slug, job=job_id)
        _fail(job, "Publishing failed for a reason that nobody foresaw; the log has it.")
    else:
        _end(job, State.PUBLISHED, owed)


def _fail(job: PublishJob, problem: str) -> None:
    """Once the version is stored, calls use it: then it is published, whatever failed after that."""
    if PublishJob.objects.filter(pk=job.pk, version__isnull=False).exists():
        _end(job, State.PUBLISHED, [STOPPED_EARLY])
    else:
        _end(job, State.FAILED, [problem])


def _end(job: PublishJob, state: PublishJob.State, problems: list[str]) -> None:
    PublishJob.objects.filter(pk=job.pk).update(state=state, problems=problems, heartbeat_at=timezone.now())
    log.info("publish_ended", flow=job.flow.slug, job=job.pk, state=str(state), problems=len(problems))


def _enqueue(job: PublishJob) -> bool:
    """Whether a broker took the job. By the task's name: this process need not know the worker's modules."""
    with Celery("lifeline-publisher", set_as_current=False) as sender:
        sender.config_from_object("django.conf:settings", namespace="CELERY")
        sender.conf.broker_transport_options = {
            "socket_connect_timeout": BROKER_TIMEOUT_S,
            "socket_timeout": BROKER_TIMEOUT_S,
            "max_retries": 0,
        }
        try:
            sender.send_task(TASK, args=[job.pk], ignore_result=True, retry=False)
        except (OperationalError, OSError) as error:
            log.info("publish_without_broker", reason=str(error))
            return False
    return True
