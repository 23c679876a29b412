"""What the switch's control port answers, as values. Owns reading its texts, as recorded from FreeSWITCH 1.11."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from esl_bridge.control_errors import SwitchControlError


@dataclass(frozen=True, slots=True)
class SwitchStatus:
    """A session is one leg of a call. The switch refuses calls beyond ``sessions_most``, and new ones faster than
    ``sessions_per_s_most`` a second. ``is_ready`` is False while it starts or shuts down."""

    version: str
    is_ready: bool
    uptime: timedelta
    sessions: int
    sessions_peak: int
    sessions_most: int
    sessions_since_startup: int
    sessions_per_s: int
    sessions_per_s_most: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One leg in ``show channels``. A dead call stays listed while its app is frozen."""

    uuid: str
    name: str
    state: str
    created: datetime
    caller_number: str
    destination: str
    application: str


def read_status(text: str) -> SwitchStatus:
    """The text of ``api status``, as recorded from FreeSWITCH 1.11. Raises SwitchControlError for another text."""
    version = re.search(r"\(Version (.+?)\)", text)
    per_s = re.search(r"(\d+) session\(s\) per Sec out of max (\d+)", text)
    since_startup = re.search(r"(\d+) session\(s\) since startup", text)
    sessions = re.search(r"(\d+) session\(s\) - peak (\d+)", text)
    most = re.search(r"(\d+) session\(s\) max", text)
    if version is None or since_startup is None or sessions is None or most is None or per_s is None:
        raise SwitchControlError(f"The switch's status cannot be read: {text[:200]!r}")
    return SwitchStatus(
        version=" ".join(version[1].split()),
        is_ready="is ready" in text,
        uptime=_uptime(text),
        sessions=int(sessions[1]),
        sessions_peak=int(sessions[2]),
        sessions_most=int(most[1]),
        sessions_since_startup=int(since_startup[1]),
        sessions_per_s=int(per_s[1]),
        sessions_per_s_most=int(per_s[2]),
    )


def _uptime(text: str) -> timedelta:
    parts = {unit: int(number) for number, unit in re.findall(r"(\d+) (year|day|hour|minute|second)s?\b", text)}
    return timedelta(
        days=365 * parts.get("year", 0) + parts.get("day", 0),
        hours=parts.get("hour", 0),
        minutes=parts.get("minute", 0),
        seconds=parts.get("second", 0),
    )


def read_channels(text: str) -> list[Channel]:
    """``show channels as json``, which has no ``rows`` at all when there is no call."""
    try:
        rows: list[dict[str, Any]] = json.loads(text).get("rows", [])
        return [
            Channel(
                uuid=row["uuid"],
                name=row["name"],
                state=row["state"],
                created=datetime.fromtimestamp(int(row["created_epoch"]), UTC),
                caller_number=row["cid_num"],
                destination=row["dest"],
                application=row["application"],
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SwitchControlError(f"The switch's channels cannot be read: {text[:200]!r}") from error
