"""Conversations recorded from a real FreeSWITCH: the bytes it sent on one socket."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def from_freeswitch(name: str, socket: int = 1) -> bytes:
    rows = (json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines())
    sent = (row["data"] for row in rows if row["from"] == "freeswitch" and row.get("socket", 1) == socket)
    return "".join(sent).encode("latin-1")


def sockets() -> list[tuple[str, int]]:
    """Every recorded connection: a call that came back has two."""
    found = []
    for name in NAMES:
        rows = (json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines())
        found += [(name, number) for number in sorted({row.get("socket", 1) for row in rows})]
    return found
