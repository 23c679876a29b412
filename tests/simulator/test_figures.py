"""Records, silences, totals and how they are shown."""

from __future__ import annotations

import json
import random

import pytest

from simulator.errors import ScenarioError
from simulator.interrupting import BargeIn, By, voice_begins_s
from simulator.lateness import Lateness
from simulator.records import CallRecord, Outcome, Silence, SilenceMeter, Totals, percentile
from simulator.report import progress_line, table
from simulator.scenarios import GOALS, SCENARIOS, choose, load_goals, parse_mix


def test_the_longest_silence_leaves_out_the_callers_own_turns() -> None:
    meter = SilenceMeter()
    meter.quiet_from(0.0)
    meter.sound(1.0)
    meter.quiet_from(5.0)
    meter.own_turn()  # thinking, then speaking until 20
    meter.quiet_from(20.0, after_words=True)
    meter.sound(22.5)
    meter.sound(30.0)
    assert meter.longest_s == 2.5
    assert meter.noticed == [Silence(0.0, 1.0), Silence(20.0, 2.5, after_words=True)]


def test_what_broke_off_by_their_own_doing_is_no_cut() -> None:
    meter = SilenceMeter()
    meter.sound(1.0)
    meter.quiet_from(2.0, after_a_cut=True)
    assert meter.is_after_a_cut
    meter.sound(3.0)
    meter.own_turn()
    meter.quiet_from(4.0)  # the key is pressed, and then
    meter.quiet_from(4.1, after_a_cut=True)  # the prompt ends
    meter.sound(5.1)
    assert [one.after_a_cut for one in meter.noticed] == [True, False]


def test_percentiles_are_values_that_happened() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) == 0.0


def totals() -> Totals:
    found = Totals()
    for scenario, outcome, understood, fallback, silence_s in (
        ("balance", Outcome.FINISHED, True, False, 1.0),
        ("balance", Outcome.DISCONNECTED, False, False, 12.0),
        ("person", Outcome.FINISHED, False, True, 2.0),
        ("impatient", Outcome.GAVE_UP, False, False, 0.5),
    ):
        found.add(CallRecord(scenario, "u", outcome, "", understood, fallback, longest_silence_s=silence_s))
    return found


def test_totals_as_programs_read_them() -> None:
    figures = json.loads(json.dumps(totals().as_dict()))
    assert figures | {"by_scenario": None} == {
        "calls": 4, "finished": 2, "disconnected": 1, "gave_up": 1, "understood": 1, "in_fallback": 1,
        "silence_ms": {"p50": 1000, "p99": 12000, "max": 12000}, "by_scenario": None,
        "barge_in_ms": {by: {"count": 0, "unheard": 0, "p50": 0, "p95": 0, "max": 0} for by in ("voice", "key")},
    }  # fmt: skip
    assert figures["by_scenario"]["balance"]["disconnected"] == 1
    assert Totals().as_dict()["silence_ms"] == {"p50": 0, "p99": 0, "max": 0}


def test_a_long_run_forgets_details_but_not_the_counts() -> None:
    found = Totals(keep=2)
    for _ in range(5):
        found.add(CallRecord("balance", "u", Outcome.FINISHED))
    assert found.counts()["calls"] == 5
    assert len(found.records) == 2


def test_the_table_has_a_row_a_scenario_and_the_silences() -> None:
    shown = table(totals()).splitlines()
    assert [line.split()[0] for line in shown if line[:1].isalpha()][:5] == [
        "scenario", "balance", "impatient", "person", "all",
    ]  # fmt: skip
    assert shown[-1] == "longest silence of a call: P50 1000 ms, P99 12000 ms, max 12000 ms"


def test_the_progress_line() -> None:
    line = progress_line(totals(), started=6, live=2, limit=8, elapsed_s=12.3)
    assert line.startswith("[##########----------] 4/8 calls, 2 live, 6 placed, 2 finished, 1 disconnected")
    assert progress_line(Totals(), started=0, live=0, limit=None, elapsed_s=0).startswith("0 calls")


def test_the_default_mix_leaves_out_those_who_give_up() -> None:
    mix = {scenario.name: weight for scenario, weight in parse_mix("mix")}
    regular = {"balance", "order_status", "opening_hours", "appointment", "person"}
    assert set(mix) == regular | {"interrupts_by_voice", "interrupts_by_key"}
    assert {choose("balance:1,person:0", random.Random(3)).name for _ in range(20)} == {"balance"}


@pytest.mark.parametrize("names", ["nobody", "balance:x", "balance:0"])
def test_a_wrong_mix_says_so(names: str) -> None:
    with pytest.raises(ScenarioError):
        parse_mix(names)


def test_every_scenario_has_a_goal() -> None:
    assert {scenario.goal for scenario in SCENARIOS.values()} <= set(GOALS)
    assert all(len(goal.utterances) >= 4 for goal in GOALS.values())


def test_a_snapshots_own_words_replace_the_built_in_ones(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("flows")
    path = folder / "flows.json"
    assert load_goals(path) == GOALS
    flow = {
        "number": 2,
        "intents": [
            {"name": "balance", "utterances": ["my balance"], "slots": ["account_number"]},
            {"name": "appointment", "utterances": ["book me"], "slots": ["time"]},
            {"name": "something_else", "utterances": ["x"]},
        ],
        "slots": [
            {"name": "account_number"},
            {"name": "time", "choices": [{"value": "a", "digit": "1", "words": "Monday at ten"}]},
        ],
    }
    path.write_text(json.dumps({"flows": [flow]}))
    goals = load_goals(path)
    assert goals["balance"].utterances == ("my balance",)
    assert goals["balance"].script == ("account",)
    assert goals["appointment"].choices == ("Monday at ten",)
    assert goals["appointment"].script == ("choice",)
    assert goals["person"] == GOALS["person"]
    path.write_text('{"flows": 1}')
    with pytest.raises(ScenarioError, match="not a flow snapshot"):
        load_goals(path)


def test_what_callers_interrupted_and_how_soon_it_stopped() -> None:
    found = Totals()
    barge_ins = [BargeIn(By.VOICE, 180.0), BargeIn(By.VOICE, 320.0), BargeIn(By.VOICE, None), BargeIn(By.KEY, 40.0)]
    found.add(CallRecord("interrupts_by_voice", "u", Outcome.FINISHED, barge_ins=barge_ins))
    assert found.as_dict()["barge_in_ms"] == {
        "voice": {"count": 3, "unheard": 1, "p50": 180, "p95": 320, "max": 320},
        "key": {"count": 1, "unheard": 0, "p50": 40, "p95": 40, "max": 40},
    }
    assert table(found).splitlines()[-2:] == [
        "prompts interrupted by voice: 3, stopped after P50 180 ms, P95 320 ms, max 320 ms; 1 played on",
        "prompts interrupted by key: 1, stopped after P50 40 ms, P95 40 ms, max 40 ms; 0 played on",
    ]


def test_a_voice_begins_with_its_first_loud_sample() -> None:
    samples = [0] * 800 + [100] * 800 + [3000] * 800
    assert voice_begins_s(b"".join(value.to_bytes(2, "little", signed=True) for value in samples)) == pytest.approx(0.2)
    assert voice_begins_s(b"") == 0.0


def test_a_simulator_that_has_measured_nothing_was_not_late() -> None:
    assert Lateness().as_dict() == {"p50": 0, "p99": 0, "max": 0}
