"""Celery's way into publishing. The task is found by its name; what it does is in ``jobs.py``."""

from __future__ import annotations

from celery import shared_task

from callflows import jobs


@shared_task(name=jobs.TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def publish_flow(job_id: int) -> None:
    jobs.run(job_id)
