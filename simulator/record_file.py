"""Callers' own records as lines of JSON in a file, one when each call is over and one when no more will come.

Owns the form of the lines. Who compares them with what the console says is not part of the simulator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from simulator.records import CallRecord


class RecordFile:
    """Times are of the machine's monotonic clock, which every process reads the same and nobody can set."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, record: CallRecord) -> None:
        ended_at_s = time.monotonic()
        began_at_s = ended_at_s - record.duration_s
        line = {
            "call_uuid": record.call_uuid,
            "scenario": record.scenario,
            "outcome": record.outcome.value,
            "because": record.ended_because,
            "in_fallback": record.in_fallback,
            "understood": record.understood,
            "talked_to_person": record.talked_to_person,
            "began_at_s": round(began_at_s, 3),
            "ended_at_s": round(ended_at_s, 3),
            "longest_silence_ms": round(record.longest_silence_s * 1000),
            "last_sound_at_s": round(began_at_s + record.last_sound_s, 3),
            "quiet_from_s": round(began_at_s + record.quiet_from_s, 3),
            "quiet_after_a_cut": record.quiet_after_a_cut,
            "silences": [[round(began_at_s + one.since_s, 3), round(one.length_s, 3), *one[2:]] for one in record.silences],
            "heard": [[round(at_s, 2), text] for at_s, text in record.heard],
            "said": [[round(at_s, 2), text] for at_s, text in record.said],
        }
        self._file.write(json.dumps(line) + "\n")

    def end(self, placed: int, late_ms: Mapping[str, int]) -> None:
        """Every call that was placed is over; ``late_ms`` is the simulator's own lateness meanwhile."""
        self._file.write(json.dumps({"placed": placed, "late_ms": late_ms}) + "\n")
