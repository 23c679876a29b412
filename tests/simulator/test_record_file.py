"""Callers' records as lines, one for each call."""

from __future__ import annotations

import json
import time
from pathlib import Path

from simulator.record_file import RecordFile
from simulator.records import CallRecord, Outcome, Silence


def test_a_line_for_each_call_and_one_when_no_more_will_come(tmp_path: Path) -> None:
    path = tmp_path / "records"
    before = time.monotonic()
    with RecordFile(path) as file:
        record = CallRecord("balance", "u-1", Outcome.FINISHED, "satisfied", duration_s=10.0, longest_silence_s=2.5)
        record.silences = [Silence(4.0, 2.5, after_words=True)]
        record.last_sound_s, record.quiet_from_s = 6.5, 8.0
        record.quiet_after_a_cut = True
        record.heard = [(1.0, "Welcome.")]
        file.write(record)
        file.end(1, {"max": 3})
    call, end = [json.loads(line) for line in path.read_text().splitlines()]
    assert end == {"placed": 1, "late_ms": {"max": 3}}
    assert (call["call_uuid"], call["outcome"], call["because"]) == ("u-1", "finished", "satisfied")
    assert call["longest_silence_ms"] == 2500
    assert before - 0.01 <= call["ended_at_s"] <= time.monotonic() + 0.01
    ((since_s, length_s, after_words, after_a_cut),) = call["silences"]
    assert (after_words, after_a_cut) == (True, False)
    assert length_s == 2.5
    assert abs(since_s - (call["ended_at_s"] - 6.0)) < 0.01
    assert abs(call["last_sound_at_s"] - (call["ended_at_s"] - 3.5)) < 0.01
    assert abs(call["quiet_from_s"] - (call["ended_at_s"] - 2.0)) < 0.01
    assert call["quiet_after_a_cut"] is True
    assert call["heard"] == [[1.0, "Welcome."]]
