"""The bench's own parts, small: what it sends reads as recorded, its load reaches the real bridge, its files have the form."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from bench.esl import load, reading, report
from bench.esl.line import CHANNEL, ENDED, HUNG_UP, KEY, STARTED
from bench.esl.percentile import percentile
from bench.esl.recorded import Template, execute_complete
from bench.results_file import FOLDER, Figure, machine, write_results
from esl_bridge.protocol.messages import Event
from esl_bridge.protocol.reader import Reader

UUID = b"0000002a-0000-4000-8000-00000000be5c"
LEVEL = load.Level(100, 5.0, 7.0, 0.1, 0.2, 0.5, 1.5, 1.0, 99, 0, 0.1, 1.0, 0.05)


def cores() -> tuple[int, int]:
    found = sorted(os.sched_getaffinity(0))
    return found[0], found[-1]


def read(data: bytes) -> Event:
    [message] = Reader().feed(data)
    return message.event()


def test_what_is_sent_reads_as_it_was_recorded() -> None:
    event = read(execute_complete())
    assert len(execute_complete()) > 6400
    assert (event.name, event.variable("account_number")) == ("CHANNEL_EXECUTE_COMPLETE", "4711")
    assert event.get("Application-UUID")


@pytest.mark.parametrize(
    ("template", "header"),
    [(STARTED, "Playback-File-Path"), (ENDED, "Application-UUID"), (KEY, "DTMF-Digit"), (HUNG_UP, "Hangup-Cause")],
)
def test_each_calls_events_carry_its_uuid_and_value(template: Template, header: str) -> None:
    event = read(template.event(UUID, b"7"))
    assert event.get("Unique-ID") == UUID.decode()
    assert "7" in [value for name, value in event.headers.items() if name == header]
    assert event.variable("ll_owner") == (None if template is KEY else "bridge-1:1")
    assert read(UUID.join(CHANNEL)).get("Unique-ID") == UUID.decode()


def test_a_few_calls_on_the_real_bridge_are_answered() -> None:
    before = os.sched_getaffinity(0)
    try:
        with load.stage(cores()) as (bridge, generator):
            ramped = generator.do("ramp", to=5, rate=50.0)
            assert (ramped["calls"], ramped["set_up"], ramped["lost"]) == (5, 5, 0)
            seen = generator.do("active", seconds=1.0, every_s=0.5)
            assert seen["commands"] >= 10
            assert 0 < seen["to_command_p50_ms"] < 1000
            assert bridge.cpu_s() > 0
            gone = generator.do("setups", rate=10.0, seconds=0.5, hold_s=0.1)
            assert (gone["began"], gone["set_up"], gone["lost"]) == (5, 5, 0)
    finally:
        os.sched_setaffinity(0, before)


def test_our_reader_is_measured_through_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [one for one in reading.libraries_here() if one.name in ("lazy", "full", "python_esl")]
    monkeypatch.setattr(reading, "libraries", lambda: ours)
    rates = reading.events_per_cpu_second(cores(), turns=1, share=0.02)
    assert set(rates) == {one.name for one in ours}
    assert all(rate > 100 for rate in rates.values())


def test_percentiles_are_values_that_happened() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(value) for value in range(1, 101)], 99) == 99.0
    assert percentile([], 99) == 0.0


def test_aims_are_held_against_values() -> None:
    reached = [Figure(*given).reached for given in ((12, "", "at least 12"), (20, "", "under 20"), (1.5, "", "at most 1.5"))]
    assert reached == [True, False, True]
    assert Figure("skipped", "", "at least 2").reached is None
    assert Figure(1, "").reached is None


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_results_file_has_the_form(path: Path) -> None:
    assert_form(json.loads(path.read_text(encoding="utf-8")))


def test_what_is_written_has_the_form(tmp_path: Path) -> None:
    write_results(tmp_path / "x.json", "make x", machine("uvloop 1"), {"one": Figure(1.5, "ms", "under 2")})
    written = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert_form(written)
    assert written["figures"]["one"] == {"value": 1.5, "unit": "ms", "aim": "under 2"}


def assert_form(result: dict[str, object]) -> None:
    assert set(result) == {"command", "date", "machine", "figures"}
    figures = result["figures"]
    assert isinstance(figures, dict)
    assert figures
    assert all(set(figure) == {"value", "unit", "aim"} for figure in figures.values())
    # Words may say why there is no number; a number that is written as text is held against nothing.
    texts = {name: figure["value"] for name, figure in figures.items() if isinstance(figure["value"], str)}
    assert {name: text for name, text in texts.items() if re.fullmatch(r"-?[0-9.]+", text)} == {}


def test_the_report_replaces_its_own_part_of_the_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    shutil.copy(report.PAGE, page)
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PICTURE", tmp_path / "growth.svg")
    for _ in range(2):
        report.write({"setups_per_s": Figure(600.0, "a second", "at least 300")}, [LEVEL], "a machine")
    text = page.read_text(encoding="utf-8")
    assert text.count("| `setups_per_s` | 600.0 a second | at least 300 | reached |") == 1
    assert text.count("# How fast") == 1
    assert "## What is measured" in text
    assert "<polyline" in (tmp_path / "growth.svg").read_text(encoding="utf-8")
