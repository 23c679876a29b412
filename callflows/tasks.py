"""Celery's way into publishing. Tasks are found by their names; what they do is in ``jobs.py`` and ``disk.py``."""

from __future__ import annotations

from celery import shared_task

from callflows import disk, jobs


@shared_task(name=jobs.TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def publish_flow(job_id: int) -> None:
    jobs.run(job_id)


@shared_task(name="callflows.catch_up", ignore_result=True)  # type: ignore[untyped-decorator]
def catch_up() -> None:
    """Write the files that are behind what is published: a disk was full, or the process that published has stopped."""
    disk.catch_up()
