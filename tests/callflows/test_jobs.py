"""A wish to publish is done once, by whoever can, and always ends in a state that people understand."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from callflows import disk, jobs, publishing, store, tasks
from callflows.models import Flow, FlowVersion, PublishJob

State = PublishJob.State


@pytest.fixture
def broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_enqueue", lambda job: True)


def test_without_a_broker_the_asking_process_publishes(draft: Flow) -> None:
    job = jobs.begin(draft, None, "Now")
    assert job.state == State.PUBLISHED
    assert job.version == FlowVersion.objects.get()
    assert (job.done, job.total) == (len(publishing.needed_phrases(draft)),) * 2


def test_a_broker_that_accepts_and_never_answers_holds_nobody_up(draft: Flow, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert jobs.begin(draft, None).state == State.PUBLISHED


def test_a_worker_does_a_queued_job_and_a_second_delivery_does_nothing(draft: Flow, broker_answers: None) -> None:
    job = jobs.begin(draft, None)
    assert job.state == State.QUEUED
    assert tasks.publish_flow.name == "callflows.publish_flow"
    tasks.publish_flow(job.pk)
    Flow.objects.update(goodbye="Changed.")
    tasks.publish_flow(job.pk)
    job.refresh_from_db()
    assert job.state == State.PUBLISHED
    assert FlowVersion.objects.count() == 1


def test_asking_twice_is_one_job(draft: Flow, broker_answers: None) -> None:
    assert jobs.begin(draft, None) == jobs.begin(draft, None)


def test_a_job_that_no_worker_takes_is_done_by_who_looks(draft: Flow, broker_answers: None) -> None:
    job = jobs.begin(draft, None)
    assert jobs.look(job).state == State.QUEUED
    job.created_at = timezone.now() - timedelta(seconds=6)
    assert jobs.look(job).state == State.PUBLISHED


def test_a_job_whose_process_died_has_failed_and_the_next_one_begins(draft: Flow, broker_answers: None) -> None:
    job = jobs.begin(draft, None)
    PublishJob.objects.filter(pk=job.pk).update(
        state=State.RUNNING, heartbeat_at=timezone.now() - timedelta(seconds=61)
    )
    following = jobs.begin(draft, None)
    assert following != job
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "Publish again" in job.problems[0]


def die(*args: object) -> None:
    raise SystemExit


def in_a_minute(job: PublishJob) -> PublishJob:
    PublishJob.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=61))
    job.refresh_from_db()
    return jobs.look(job)


def test_a_job_whose_process_died_after_the_version_was_stored_has_published_it(
    draft: Flow, broker_answers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs.begin(draft, None)
    monkeypatch.setattr(disk, "write", die)
    with pytest.raises(SystemExit):
        jobs.run(job.pk)
    assert in_a_minute(job).state == State.PUBLISHED
    assert job.version == FlowVersion.objects.get()
    assert job.problems == [jobs.STOPPED_EARLY]


def test_also_when_it_was_taken_for_dead_before_that(draft: Flow, broker_answers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs.begin(draft, None)
    original = store.sync_prompts

    def slow(folder: Path) -> int:
        assert in_a_minute(job).state == State.FAILED
        return original(folder)

    monkeypatch.setattr(store, "sync_prompts", slow)
    monkeypatch.setattr(disk, "write", die)
    with pytest.raises(SystemExit):
        jobs.run(job.pk)
    assert in_a_minute(job).state == State.PUBLISHED


def test_what_fails_once_the_version_is_stored_is_no_reason_to_call_it_unpublished(
    draft: Flow, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIFELINE_FLOW_SNAPSHOT.mkdir()
    job = jobs.begin(draft, None)
    assert job.state == State.PUBLISHED
    assert job.version == FlowVersion.objects.get()
    assert "flows.json or a prompt beside it cannot be written" in job.problems[0]
    Flow.objects.update(goodbye="Bye for now.")
    monkeypatch.setattr(disk, "write", lambda: 1 / 0)
    job = jobs.begin(draft, None)
    assert (job.state, job.problems) == (State.PUBLISHED, [jobs.STOPPED_EARLY])
    assert job.version == FlowVersion.objects.get(number=2)


def test_a_refusal_is_kept_in_plain_words(draft: Flow) -> None:
    Flow.objects.update(human_destination="")
    job = jobs.begin(draft, None)
    assert job.state == State.REFUSED
    assert "Flow: there is no human destination: a caller could not reach a person" in job.problems


def test_a_disk_that_fails_and_a_fault_of_ours_end_the_job(draft: Flow, settings: Any, monkeypatch: Any) -> None:
    settings.LIFELINE_PROMPT_DIR.write_text("a file where the folder should be")
    job = jobs.begin(draft, None)
    assert job.state == State.FAILED
    assert "prompts" in job.problems[0]
    monkeypatch.setattr(publishing, "publish", lambda *args, **options: 1 / 0)
    assert "nobody foresaw" in jobs.begin(draft, None).problems[0]
    assert not FlowVersion.objects.exists()
