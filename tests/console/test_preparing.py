"""What every start prepares: a first user where there is none, the published files, and in a demonstration alone its flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from callflows import demo, publishing
from callflows.models import Flow, FlowVersion
from ivr_fallback.actions import Actions


class OwnBusiness:
    """A company's, which has none of the demonstration's actions."""

    ACTIONS: ClassVar[Actions] = {}


@pytest.fixture(autouse=True)
def folders(db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LIFELINE_PROMPT_DIR = tmp_path / "prompts"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_LAST_RESORT_DIALPLAN = tmp_path / "last_resort.xml"
    monkeypatch.setenv("LIFELINE_RUN_ADMIN_PASSWORD", "the first one")


def test_a_production_start_loads_no_demonstration(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.LIFELINE_DEMO = False
    call_command("prepare_data")
    assert not Flow.objects.exists()
    assert get_user_model().objects.get().username == "admin"
    assert "no flow is published" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"username": "anna"}, {"is_active": False}, {"is_superuser": False}])
def test_an_admin_that_was_renamed_or_disabled_stays_so(
    change: dict[str, object], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.LIFELINE_DEMO = False
    call_command("prepare_data")
    users = get_user_model().objects
    users.update(**change)
    capsys.readouterr()
    call_command("prepare_data")
    assert users.filter(**change).count() == users.count() == 1
    assert ("there is no user admin any more" in capsys.readouterr().out) is ("username" in change)


def test_an_admin_that_was_deleted_does_not_come_back_with_its_first_password(settings: Any) -> None:
    settings.LIFELINE_DEMO = False
    call_command("prepare_data")
    users = get_user_model().objects
    users.create_user("ben", password="x" * 12)
    users.filter(username="admin").delete()
    call_command("prepare_data")
    assert [user.username for user in users.all()] == ["ben"]


def test_a_business_of_ones_own_starts_without_the_demonstration_flow(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.LIFELINE_DEMO = True
    settings.LIFELINE_BUSINESS = f"{__name__}.{OwnBusiness.__name__}"
    call_command("prepare_data")
    assert not Flow.objects.exists(), "its number would be in the way"
    assert get_user_model().objects.get().username == "admin"
    said = capsys.readouterr().err
    assert "there is no action 'balance'" in said
    assert "LIFELINE_DEMO=false" in said


def test_a_flow_of_ones_own_for_every_number_is_no_reason_not_to_start(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.LIFELINE_DEMO = True
    Flow.objects.create(name="Ours", slug="ours", destination_number="*")
    call_command("prepare_data")
    assert list(Flow.objects.values_list("slug", flat=True)) == ["ours"]
    assert "another flow has that already" in capsys.readouterr().err


def test_a_production_start_writes_what_the_published_flows_lack(settings: Any) -> None:
    flow, _ = demo.ensure_draft()
    version = publishing.publish(flow)
    lost = settings.LIFELINE_PROMPT_DIR / version.definition.system.menu_intro.file
    for file in (lost, settings.LIFELINE_FLOW_SNAPSHOT, settings.LIFELINE_LAST_RESORT_DIALPLAN):
        file.unlink()
    settings.LIFELINE_DEMO = False
    call_command("prepare_data")
    assert lost.exists()
    assert settings.LIFELINE_FLOW_SNAPSHOT.exists()
    assert settings.LIFELINE_LAST_RESORT_DIALPLAN.exists()
    assert FlowVersion.objects.count() == 1


def test_a_prompt_folder_that_cannot_be_written_is_said_in_a_line(settings: Any) -> None:
    settings.LIFELINE_DEMO = False
    settings.LIFELINE_PROMPT_DIR.write_text("not a folder")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("prepare_data")
