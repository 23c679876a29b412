"""Flows in memory and on disk: whole files only, and a database that is away hurts nobody."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from structlog.testing import capture_logs

from callflows import publishing, store
from callflows.definition.errors import BadSnapshot
from callflows.definition.flow import Snapshot
from callflows.definition.writing import write_whole
from callflows.models import Flow, FlowVersion, Prompt
from callflows.store import FlowStore


def test_the_prompt_folder_gets_only_what_it_lacks(published: FlowVersion, settings: Any) -> None:
    folder = Path(settings.LIFELINE_PROMPT_DIR)
    assert store.sync_prompts(folder) == 0
    files = sorted(folder.glob("*.wav"))
    untouched = files[2].stat().st_mtime_ns
    files[0].unlink()
    files[1].write_bytes(b"half")
    assert store.sync_prompts(folder) == 2
    assert files[2].stat().st_mtime_ns == untouched
    prompt = Prompt.objects.get(sha256=files[1].stem)
    assert files[1].read_bytes() == bytes(prompt.wav)
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o644
    assert list(folder.glob(".*")) == []


def test_the_manifest_names_the_words_of_every_file(published: FlowVersion, settings: Any) -> None:
    folder = Path(settings.LIFELINE_PROMPT_DIR)
    manifest = json.loads((folder / "manifest.json").read_text())
    greeting = published.definition.system.greeting
    assert manifest[greeting.file] == {"text": greeting.text}
    assert set(manifest) == {path.name for path in folder.glob("*.wav")}
    (folder / "manifest.json").unlink()
    store.sync_prompts(folder)
    assert json.loads((folder / "manifest.json").read_text()) == manifest


def test_a_file_that_cannot_be_replaced_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(target, b"data")
    assert list(tmp_path.iterdir()) == [target]


def test_earlier_versions_stay_as_long_as_a_call_may_use_them(draft: Flow) -> None:
    for number in range(1, 5):
        Flow.objects.update(goodbye=f"Goodbye {number}.")
        publishing.publish(draft)
    now = timezone.now()
    for number, hours_ago in ((1, 72), (2, 48), (3, 30), (4, 1)):
        FlowVersion.objects.filter(number=number).update(published_at=now - timedelta(hours=hours_ago))
    # Version 3 was the newest until an hour ago; version 2 until 30 hours ago.
    assert [flow.number for flow in store.database_snapshot(now).flows] == [4, 3]


def test_an_unreadable_version_does_not_take_the_others_away(published: FlowVersion) -> None:
    other = Flow.objects.create(slug="broken", name="Broken", destination_number="7")
    FlowVersion.objects.create(flow=other, number=1, published="{}", published_at=timezone.now())
    with capture_logs() as logs:
        assert [flow.slug for flow in store.database_snapshot().flows] == ["demonstration"]
    assert [entry["event"] for entry in logs] == ["version_unreadable"]


def test_a_store_starts_from_disk_alone(published: FlowVersion, settings: Any, tmp_path: Path) -> None:
    flows = FlowStore(Path(settings.LIFELINE_FLOW_SNAPSHOT))
    assert flows.current() == Snapshot(())
    assert flows.load_disk()
    assert flows.current().for_number("9200") == published.definition
    assert not FlowStore(tmp_path / "none.json").load_disk()
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(BadSnapshot):
        FlowStore(tmp_path / "bad.json").load_disk()


def test_a_refresh_takes_a_new_version_keeps_it_on_disk_and_brings_its_prompts(
    published: FlowVersion, tmp_path: Path, django_assert_num_queries: Any
) -> None:
    path, prompts = tmp_path / "bridge" / "flows.json", tmp_path / "bridge" / "prompts"
    flows = FlowStore(path, prompts)
    assert flows.refresh_from_database()
    assert flows.current().for_number("1") == published.definition
    assert len(list(prompts.glob("*.wav"))) == Prompt.objects.count()
    with django_assert_num_queries(1):
        assert not flows.refresh_from_database()
    Flow.objects.update(goodbye="Bye.")
    assert not flows.refresh_from_database(), "a draft is not a version"
    second = publishing.publish(published.flow)
    assert flows.refresh_from_database()
    assert flows.current().for_number("1") == second.definition
    restarted = FlowStore(path)
    restarted.load_disk()
    assert restarted.current() == flows.current()
    assert not restarted.refresh_from_database(), "disk and database agree"


def test_a_snapshot_that_could_not_be_written_is_written_at_a_later_refresh(
    published: FlowVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, snapshot: Snapshot) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "bridge" / "flows.json"
    flows = FlowStore(path)
    flows.refresh_from_database()
    Flow.objects.update(goodbye="Bye.")
    second = publishing.publish(published.flow).definition
    monkeypatch.setattr(store, "write_snapshot", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            flows.refresh_from_database()
        assert flows.current().for_number("1") == second, "calls use it"
    monkeypatch.undo()
    flows.refresh_from_database()
    restarted = FlowStore(path)
    restarted.load_disk()
    assert restarted.current().for_number("1") == second


def test_an_empty_database_does_not_take_away_the_flows_that_worked(settings: Any, published: FlowVersion) -> None:
    flows = FlowStore(Path(settings.LIFELINE_FLOW_SNAPSHOT))
    flows.load_disk()
    FlowVersion.objects.all().delete()
    assert not flows.refresh_from_database()
    assert flows.current().for_number("1") is not None
    assert flows.load_disk()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class FlakyStore(FlowStore):
    """A store whose database can be taken away."""

    failing: Exception | None = None
    attempts = 0

    def refresh_from_database(self) -> bool:
        self.attempts += 1
        assert threading.current_thread() is not threading.main_thread()
        if self.failing is not None:
            raise self.failing
        return False


async def test_the_loop_survives_errors_and_says_once_when_they_begin_and_end(tmp_path: Path) -> None:
    flows = FlakyStore(tmp_path / "flows.json")
    before = set(threading.enumerate())
    with capture_logs() as logs:
        task = asyncio.create_task(flows.run(every_s=0.01))
        for failing in (OperationalError("gone"), ValueError("unforeseen"), None):
            flows.failing = failing
            reached = flows.attempts + 3
            await until(lambda reached=reached: flows.attempts >= reached)  # type: ignore[misc]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    events = [entry["event"] for entry in logs if entry["event"] != "flow_refresh_failed"]
    assert events == ["flows_not_refreshed", "flows_refreshed_again"]
    assert not [one for one in set(threading.enumerate()) - before if one.name.startswith("flow-store")]


@pytest.mark.django_db
def test_what_another_process_is_writing_may_go_while_the_folder_is_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two publish at once: a half-written prompt is listed, and has its whole name when it is looked at."""
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / ".half.wav.1.2", *listed(folder)]))
    assert store.sync_prompts(tmp_path) == 0
    assert (tmp_path / store.MANIFEST).exists()


@pytest.mark.django_db(transaction=True)
async def test_the_loop_brings_a_version_published_meanwhile(tmp_path: Path) -> None:
    from asgiref.sync import sync_to_async

    from callflows import demo

    flows = FlowStore(tmp_path / "mine.json")
    task = asyncio.create_task(flows.run(every_s=0.02))
    try:
        draft, _ = await sync_to_async(demo.ensure_draft)()
        version = await sync_to_async(publishing.publish)(draft)
        await until(lambda: flows.current().version("demonstration", version.number) is not None)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (tmp_path / "mine.json").exists()


def test_a_prompt_that_vanished_is_written_again_before_a_call_needs_it(published: FlowVersion, settings: Any) -> None:
    flows = FlowStore(settings.LIFELINE_FLOW_SNAPSHOT, settings.LIFELINE_PROMPT_DIR)
    flows.load_disk()
    gone = settings.LIFELINE_PROMPT_DIR / published.definition.system.greeting.file
    empty = settings.LIFELINE_PROMPT_DIR / published.definition.system.goodbye.file
    sizes = gone.stat().st_size, empty.stat().st_size
    gone.unlink()
    empty.write_bytes(b"")
    flows.mend_prompts()
    assert (gone.stat().st_size, empty.stat().st_size) == sizes
    assert flows.missing_prompts == ()


def test_a_prompt_that_nobody_has_is_named_once(published: FlowVersion, settings: Any) -> None:
    flows = FlowStore(settings.LIFELINE_FLOW_SNAPSHOT, settings.LIFELINE_PROMPT_DIR)
    flows.load_disk()
    file = published.definition.system.greeting.file
    (settings.LIFELINE_PROMPT_DIR / file).unlink()
    Prompt.objects.filter(sha256=file.removesuffix(".wav")).delete()
    with capture_logs() as logs:
        flows.mend_prompts()
        flows.mend_prompts()
    assert [entry["event"] for entry in logs].count("prompts_still_missing") == 1
    assert len(flows.missing_prompts) == 1
    assert "greeting" in flows.missing_prompts[0]
