"""What is said of the switches and of the last test call: rows for the live page, and what metrics may count.

Owns telling what is known now from what was known once. The looking is ``console/switches.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from console import words
from console.models import Call, SwitchReport, SwitchState, TrialCall, TrialState
from console.switch_settings import SwitchAddress
from console.switches import STALE, switches
from console.trial_calls import CALLING_LIMIT, TAKEN_WITHIN

# A test call that ended longer ago has told what it had to tell.
TRIAL_SHOWN = timedelta(minutes=15)
# The journal is recorded within a second or two; a bridge that took the call has said so by then.
REPORTED_WITHIN = timedelta(seconds=10)

NEARLY_FULL = 0.8


class Known(StrEnum):
    """What may be said of a switch now."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    STALE = "stale"
    NEVER = "never"


BADGES = {Known.REACHABLE: "kept", Known.UNREACHABLE: "lost"}
NAMES = {
    Known.REACHABLE: "Reachable", Known.UNREACHABLE: "Not reachable", Known.UNKNOWN: "Not known",
    Known.STALE: "Not looked at", Known.NEVER: "Not looked at yet",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SwitchRow:
    """``report`` holds figures of now only while ``known`` is reachable."""

    name: str
    place: str
    known: Known
    report: SwitchReport | None
    looked_ago: str = ""
    read_ago: str = ""
    asked_ago: str = ""

    @property
    def is_reachable(self) -> bool:
        return self.known is Known.REACHABLE

    @property
    def badge(self) -> str:
        return BADGES.get(self.known, "open")

    @property
    def state(self) -> str:
        return NAMES[self.known]

    @property
    def is_full(self) -> bool:
        return self.is_reachable and self.report is not None and self.report.sessions >= self.report.sessions_most

    @property
    def nearly_full(self) -> int:
        """From how many sessions the meter changes its colour."""
        return 0 if self.report is None else int(self.report.sessions_most * NEARLY_FULL)

    @property
    def what(self) -> str:
        return "" if self.report is None else words.switch_state(self.known.value, self.report)

    @property
    def uptime(self) -> str:
        return "" if self.report is None else words.long_duration(self.report.uptime_s)

    @property
    def not_read(self) -> str:
        """Why the switch's dialplan of last resort is an older one."""
        return "" if self.report is None or self._has_read_it else self.report.dialplan_problem

    @property
    def wrong_hours(self) -> str:
        """Why it takes other hours for open than the bridges do."""
        return self.report.dialplan_problem if self.report is not None and self._has_read_it else ""

    @property
    def _has_read_it(self) -> bool:
        """The last time that it was asked to."""
        return self.report is not None and self.report.dialplan_read_at == self.report.dialplan_tried_at

    @property
    def read_ms(self) -> int | None:
        """When it last read it."""
        at = None if self.report is None else self.report.dialplan_read_at
        return None if at is None else int(at.timestamp() * 1000)

    @property
    def lacks(self) -> str:
        """Which sound files it does not find."""
        return self.report.files_problem if self.report is not None and self.report.files_asked else ""

    @property
    def files_not_known(self) -> str:
        """Why nobody knows which it finds."""
        return self.report.files_problem if self.report is not None and not self.report.files_asked else ""

    @property
    def finds(self) -> int:
        """How many it was asked for, and found."""
        return 0 if self.report is None or self.report.files_problem else self.report.files_asked

    @property
    def asked_ms(self) -> int | None:
        """When it was asked for them."""
        at = None if self.report is None else self.report.files_looked_at
        return None if at is None else int(at.timestamp() * 1000)

    @property
    def looked_ms(self) -> int | None:
        return None if self.report is None else int(self.report.looked_at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class TrialRow:
    """``kind``: waiting, good or bad. ``call_uuid`` is empty while there is no page of that call."""

    pk: int
    title: str
    kind: str
    what: str
    call_uuid: str


def switch_rows(now: datetime) -> list[SwitchRow]:
    reports = {report.name: report for report in SwitchReport.objects.all()}
    return [_switch_row(switch, reports.get(switch.name), now) for switch in switches()]


def _switch_row(switch: SwitchAddress, report: SwitchReport | None, now: datetime) -> SwitchRow:
    if report is None or report.place != switch.place:
        return SwitchRow(switch.name, switch.place, Known.NEVER, None)
    known = Known.STALE if now - report.looked_at > STALE else Known(SwitchState(report.state).value)
    moments = (report.looked_at, report.dialplan_read_at, report.files_looked_at)
    ago = ("" if at is None else words.long_duration((now - at).total_seconds()) for at in moments)
    return SwitchRow(switch.name, switch.place, known, report, *ago)


def not_asked(rows: Sequence[SwitchRow]) -> str:
    """Why it cannot be asked what became of a call, which every switch must answer (``settle_orphans``); empty when it can."""
    if any(row.known in (Known.STALE, Known.NEVER) for row in rows):
        return "the worker that asks (celery) is not running. Start it."
    silent = [f"switch {row.name} is {row.state[:1].lower()}{row.state[1:]}" for row in rows if not row.is_reachable]
    return "; ".join(silent) + ". Look under Switches." if silent else ""


def trial_row(now: datetime) -> TrialRow | None:
    """The last test call, with how far it came."""
    trial = TrialCall.objects.filter(asked_at__gt=now - TRIAL_SHOWN).order_by("-asked_at", "-pk").first()
    if trial is None:
        return None
    call = Call.objects.filter(call_uuid=trial.call_uuid).first() if trial.call_uuid else None
    kind, what = _progress(trial, call, now)
    title = f"Test call on {trial.switch}, by {trial.user} at {words.local_time(trial.asked_at.timestamp())}"
    return TrialRow(trial.pk, title, kind, what, "" if call is None else call.call_uuid)


def _progress(trial: TrialCall, call: Call | None, now: datetime) -> tuple[str, str]:
    if trial.state == TrialState.FAILED:
        return "bad", f"No call: {trial.reason}"
    if trial.state == TrialState.ASKED:
        if now - trial.asked_at > TAKEN_WITHIN:
            return "bad", "Nobody took it, and nothing was called: the worker that places calls (celery) is not running."
        return "waiting", "Waiting for the worker that places it…"
    if trial.state == TrialState.CALLING:
        if trial.called_at is not None and now - trial.called_at > CALLING_LIMIT:
            return "bad", "Not confirmed: the worker that placed it said nothing more. It may be on the line."
        return "waiting", f"Calling {trial.endpoint}…"
    return _after_the_answer(trial, call, now)


def _after_the_answer(trial: TrialCall, call: Call | None, now: datetime) -> tuple[str, str]:
    if call is not None:
        where = "it has ended" if call.ended_at else f"on the line: {words.step(call.step) or 'just connected'}"
        return "good", f"Answered by {call.bridge_id or 'a bridge'}, {where}."
    if trial.finished_at is not None and now - trial.finished_at <= REPORTED_WITHIN:
        return "waiting", "Answered on the switch; waiting for the bridge's first report…"
    return "bad", "Answered on the switch, but no bridge has reported it: its dialplan may have gone to the menu of last resort."


def fingerprint(now: datetime) -> object:
    """Changes when what is said of switches and of the test call does, apart from the clocks in it."""
    looked = [(row.name, row.known, row.report and row.report.looked_at) for row in switch_rows(now)]
    return looked, trial_row(now)


def trials_among(call_uuids: Iterable[str]) -> set[str]:
    """Which of these calls are test calls."""
    return set(TrialCall.objects.filter(call_uuid__in=list(call_uuids)).values_list("call_uuid", flat=True))
