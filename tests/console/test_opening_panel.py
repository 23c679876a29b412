"""The live page says whether people can be reached now, of the flows that have opening hours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.template.loader import render_to_string
from msgspec.structs import replace

from callflows.definition.flow import Snapshot, encode_snapshot
from callflows.definition.hours import Hours, Span
from console import last_resort_panel, regions
from console.opening_panel import OpeningRow, opening_rows
from tests.ivr_fallback.flows import whole_flow

OFFICE = Hours("Europe/Vienna", ((Span(540, 1020),),) * 7)
NOON, NIGHT = datetime(2026, 11, 24, 11, tzinfo=UTC), datetime(2026, 11, 24, 22, tzinfo=UTC)


def test_flows_with_hours_are_named_by_their_newest_version() -> None:
    old, always = replace(whole_flow(), hours=OFFICE), replace(whole_flow(), slug="all", name="All")
    snapshot = Snapshot((replace(old, number=2, name="Newer"), old, always))
    assert opening_rows(snapshot, NOON) == (OpeningRow("Newer", "Open now (today 09:00-17:00, Europe/Vienna)", True),)
    assert opening_rows(snapshot, NIGHT) == (OpeningRow("Newer", "Closed now (today 09:00-17:00, Europe/Vienna)", False),)
    assert opening_rows(None, NOON) == opening_rows(Snapshot((always,)), NOON) == ()


def test_the_card_of_calls_says_it_and_changes_when_it_does(db: Any, settings: Any, tmp_path: Path) -> None:
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_LAST_RESORT_DIALPLAN = tmp_path / "none.xml"
    seen = []
    for week in ((Span(0, 1440),), ()):
        flow = replace(whole_flow(), hours=replace(OFFICE, week=(week,) * 7))
        settings.LIFELINE_FLOW_SNAPSHOT.write_bytes(encode_snapshot(Snapshot((flow,))))
        last_resort_panel.forget()
        context = regions.live_context(regions.see(), regions.Sight())
        seen.append((render_to_string("console/regions/calls.html", context), regions.fingerprint()))
    last_resort_panel.forget()
    (opened, before), (shut, after) = seen
    assert "Utility – Open now (today 00:00-24:00, Europe/Vienna)" in opened
    assert "<strong>Closed now (today closed, Europe/Vienna)</strong>" in shut
    assert before != after
