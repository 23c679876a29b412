"""The figures, read in four ways that share as little as possible: page, metrics, ``manage.py figures --json`` and database.

``readings(stack)`` after a run, and ``compare`` says where they differ; nothing said means that they agree. The database's
side counts by the rule of DESIGN.md in a few lines of its own (``python -m tests.chaos.agreement`` prints it, as a process
beside the stack).
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol

import django

# The figures, with the words beside each on the page.
ON_PAGE = {
    "ai_failures_failed_over": "AI failed, caller kept",
    "ai_failures_dropped": "AI failed, caller lost",
    "ai_failures_recovered": "Lost their bridge, went on with another",
    "ai_failures_open": "Failures not settled yet",
    "sent_straight_to_menu": "Sent straight to the menu",
    "not_understood": "Not understood, so to the menu",
    "calls_total": "Calls today",
    "live_calls": "On the line now",
}
STRAIGHT = ("no_engine", "forced", "turns_open", "shed")
PAGE_LIMIT_S = 30.0

Counts = dict[str, int]


class Running(Protocol):
    """What is needed of a running stack (``tests.stack.Stack``)."""

    @property
    def url(self) -> str: ...
    @property
    def password(self) -> str: ...
    def figures(self) -> dict[str, Any]: ...
    def _environ(self) -> dict[str, str]: ...


def readings(stack: Running) -> dict[str, Counts]:
    """Of a stack on which no call goes on any more, by way. Raises what reading raises."""
    return {
        "page": from_page(_logged_in(stack)),
        "metrics": from_metrics(_text(urllib.request.build_opener(), f"{stack.url}/metrics")),
        "figures --json": from_command(stack.figures()),
        "database": _database_of(stack),
    }


def compare(readings: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Pure. A sentence for each figure that is not the same everywhere; one that a way lacks differs as well."""
    said = []
    for name in ON_PAGE:
        values = {way: counts.get(name) for way, counts in readings.items()}
        if len(set(values.values())) != 1 or None in values.values():
            said.append(f"{name}: " + ", ".join(f"{way} says {value}" for way, value in values.items()))
    return said


def from_page(html: str) -> Counts:
    names = {words: name for name, words in ON_PAGE.items()}
    shown = re.findall(r'<p class="name">([^<]+)</p><p class="number"[^>]*>(\d+)</p>', html)
    shown += re.findall(r"<dt>([^<]+)</dt><dd[^>]*>(\d+)</dd>", html)
    return {names[words]: int(number) for words, number in shown if words in names}


def from_metrics(text: str) -> Counts:
    values = dict(re.findall(r"^lifeline_(\w+) ([0-9.e+]+)$", text, re.MULTILINE))
    return {name: int(float(values[name])) for name in ON_PAGE if name in values}


def from_command(found: Mapping[str, Any]) -> Counts:
    return {name: int(found[name]) for name in ON_PAGE if name in found}


def from_database() -> Counts:
    """Call by call: a call with several failures is what its worst one came to."""
    from django.utils import timezone

    from console.models import Call, Incident

    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    outcomes: dict[int, set[str]] = defaultdict(set)
    failed = set()
    for one in Incident.objects.all():
        failed.add(one.call_id)
        is_of_today = one.opened_at >= midnight or (one.closed_at is not None and one.closed_at >= midnight)
        if is_of_today or not one.outcome:
            outcomes[one.call_id].add(one.outcome)
    worst: Counts = defaultdict(int)
    for found in outcomes.values():
        worst[next((each for each in ("dropped", "failed_over", "recovered") if each in found), "")] += 1
    calls = list(Call.objects.all())
    today = [call for call in calls if call.started_at >= midnight]
    return {
        "ai_failures_failed_over": worst["failed_over"],
        "ai_failures_dropped": worst["dropped"],
        "ai_failures_recovered": worst["recovered"],
        "ai_failures_open": sum("" in found for found in outcomes.values()),
        "sent_straight_to_menu": sum(call.fell_back_reason in STRAIGHT and call.pk not in failed for call in today),
        "not_understood": sum(call.fell_back_reason == "not_understood" for call in today),
        "calls_total": len(today),
        "live_calls": sum(call.ended_at is None for call in calls),
    }


# --- Of a running stack ---


def _logged_in(stack: Running) -> str:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    form = _text(opener, f"{stack.url}/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token is not None, "the console has no form to log in"
    given = {"username": "admin", "password": stack.password, "csrfmiddlewaretoken": token[1]}
    request = urllib.request.Request(
        f"{stack.url}/login/", urllib.parse.urlencode(given).encode(), {"Referer": f"{stack.url}/login/"}
    )
    with opener.open(request, timeout=PAGE_LIMIT_S) as answer:
        return str(answer.read().decode())


def _text(opener: urllib.request.OpenerDirector, url: str) -> str:
    with opener.open(url, timeout=PAGE_LIMIT_S) as answer:
        return str(answer.read().decode())


def _database_of(stack: Running) -> Counts:
    from tests.stack import ROOT

    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.agreement"], cwd=ROOT, env=stack._environ(), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    json.dump(from_database(), sys.stdout)
