"""The table of states and transitions as the documentation shows it: ``python -m ai_engine.circuits.transition_table``.

Owns the table's text and its place in ``docs/circuits.md``; a test holds the page against it.
"""

from __future__ import annotations

from pathlib import Path

from ai_engine.circuits.states import TRANSITIONS, CircuitState, Trigger

PAGE = Path(__file__).resolve().parents[2] / "docs" / "circuits.md"
BEGIN, END = "<!-- transitions: begin -->", "<!-- transitions: end -->"
STATES = {
    CircuitState.CLOSED: "closed",
    CircuitState.OPEN: "open",
    CircuitState.HALF_OPEN: "half-open",
    CircuitState.FORCED_OPEN: "held open",
    CircuitState.FORCED_CLOSED: "held closed",
}
TRIGGERS = {
    Trigger.FAILURES: "failures",
    Trigger.TIMEOUT: "time",
    Trigger.PROBE_OK: "probe",
    Trigger.PROBE_FAILED: "probe",
    Trigger.FORCE_OPEN: "hold open",
    Trigger.FORCE_CLOSED: "hold closed",
    Trigger.RELEASE: "release",
}


def markdown() -> str:
    rows = [f"| {STATES[row.before]} | {TRIGGERS[row.trigger]} | {STATES[row.after]} | {row.words} |" for row in TRANSITIONS]
    return "\n".join(["| from | by | to | when |", "|---|---|---|---|", *rows])


def with_table(page: str) -> str:
    """The page with the table of now between its marks. Raises ValueError without them."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
