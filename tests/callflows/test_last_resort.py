"""The file of last resort: made on publish, replaced whole or not at all, and its state said as it is."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from callflows import last_resort, publishing, store
from callflows.errors import LastResortRefusedError, PublishRefusedError
from callflows.models import Flow, FlowVersion
from ivr_fallback import last_resort_checks


def file(folders: Path) -> Path:
    return folders / "last_resort.xml"


def look(folders: Path) -> last_resort.Rendering:
    found = last_resort.look(file(folders))
    assert found is not None
    return found


def test_publishing_renders_it_and_says_what_it_was_made_of(published: FlowVersion, folders: Path) -> None:
    found = look(folders)
    assert (found.versions, found.problems, found.missing) == ({"demonstration": 1}, (), ())
    assert found.files == len(last_resort_checks.files_named(file(folders).read_text())) == 15
    assert not found.is_older_than(store.database_snapshot())
    assert ElementTree.parse(file(folders)).getroot().tag == "include"


def test_a_new_version_replaces_it(published: FlowVersion, folders: Path) -> None:
    Flow.objects.update(menu_intro="Choose now.")
    publishing.publish(published.flow)
    assert look(folders).versions == {"demonstration": 2}


def test_a_destination_that_a_switch_could_act_on_is_refused_at_publish_and_the_file_stays(
    published: FlowVersion, folders: Path
) -> None:
    before = file(folders).read_bytes()
    for hostile in ("${system(id)}", 'a"b', "a b", "a|b@h"):
        Flow.objects.update(human_destination=hostile)
        with pytest.raises(PublishRefusedError, match="the human destination may hold"):
            publishing.publish(published.flow)
    assert file(folders).read_bytes() == before
    assert FlowVersion.objects.count() == 1


def test_a_missing_sound_or_an_unusable_folder_leaves_the_last_good_file(
    published: FlowVersion, folders: Path, settings: Any
) -> None:
    before = file(folders).read_bytes()
    snapshot = store.database_snapshot()
    prompt = Path(settings.LIFELINE_PROMPT_DIR) / snapshot.flows[0].system.goodbye.file
    whole = prompt.read_bytes()
    prompt.write_bytes(whole[:44])
    with pytest.raises(LastResortRefusedError, match="missing or holds no sound"):
        last_resort.write(snapshot, file(folders), last_resort.place())
    assert len(look(folders).missing) == 1
    prompt.write_bytes(whole)
    settings.LIFELINE_PROMPT_DIR = Path("/a folder")
    assert last_resort.write_or_say_why_not(snapshot) is None
    assert file(folders).read_bytes() == before
    assert look(folders).missing == ()


def test_the_command_renders_checks_and_finds_what_an_editor_did(published: FlowVersion, folders: Path) -> None:
    out = StringIO()
    call_command("render_dialplan", "--check", stdout=out)
    assert "is what the published flows make" in out.getvalue()
    text = file(folders).read_text()
    file(folders).write_text(text.replace("call_timeout=30", "call_timeout=3"))
    with pytest.raises(CommandError, match="another than the published flows make"):
        call_command("render_dialplan", "--check")
    file(folders).write_text(text.replace('"bridge"', '"system"', 1))
    with pytest.raises(CommandError, match="cannot be trusted"):
        call_command("render_dialplan", "--check", stderr=StringIO())
    file(folders).unlink()
    with pytest.raises(CommandError, match="is not there"):
        call_command("render_dialplan", "--check")
    call_command("sync_switch", stdout=out)
    assert file(folders).read_text() == text
    assert "with 15 sound files" in out.getvalue()


def test_its_age_is_the_files_own(published: FlowVersion, folders: Path) -> None:
    os.utime(file(folders), (1_800_000_000, 1_800_000_000))
    assert look(folders).rendered_at == datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.django_db
def test_without_a_published_flow_there_is_nothing_to_render(folders: Path) -> None:
    with pytest.raises(CommandError, match="No flow is published"):
        call_command("render_dialplan")
    assert last_resort.look(file(folders)) is None
