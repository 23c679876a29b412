"""The two figures of a running stack by four ways: the page as a browser gets it, the metrics, ``manage.py figures`` and the
database's own rows. Owns the reading and the comparison; a page that says less was lost than was is the worst fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.stack import Stack

LIMIT_S = 20.0
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
NUMBER = r'<p class="number" id="{}">\s*([\d,.\s]+?)\s*</p>'


@dataclass(frozen=True, slots=True)
class TwoFigures:
    """Calls in which the AI side failed: those that were kept, and those that were lost."""

    failed_over: int
    dropped: int


def read(stack: Stack, stored_calls: Iterable[Mapping[str, Any]]) -> dict[str, TwoFigures]:
    """By way. ``stored_calls``: ``tests.chaos.stored``'s calls, of today. Raises AssertionError when a way has no figure."""
    json_figures = stack.figures()
    with httpx.Client(base_url=stack.url, timeout=LIMIT_S, trust_env=False) as client:
        metrics = of_metrics(client.get("/metrics").raise_for_status().text)
        page = of_page(_logged_in(client, stack.password))
    command = TwoFigures(json_figures["ai_failures_failed_over"], json_figures["ai_failures_dropped"])
    return {"page": page, "metrics": metrics, "figures --json": command, "database": of_rows(stored_calls)}


def differing(ways: Mapping[str, TwoFigures]) -> int:
    """How many of them do not say what the database's rows say."""
    return sum(one != ways["database"] for one in ways.values())


def of_rows(calls: Iterable[Mapping[str, Any]]) -> TwoFigures:
    """The definition, counted by hand: a call with a dropped incident is lost, one with a failed over one and none is kept."""
    outcomes = [{one["outcome"] for one in call["incidents"]} for call in calls]
    dropped = sum("dropped" in found for found in outcomes)
    return TwoFigures(sum("failed_over" in found and "dropped" not in found for found in outcomes), dropped)


def of_metrics(text: str) -> TwoFigures:
    found = {sample.name: int(sample.value) for family in text_string_to_metric_families(text) for sample in family.samples}
    names = ("lifeline_ai_failures_failed_over", "lifeline_ai_failures_dropped")
    missing = [name for name in names if name not in found]
    assert not missing, f"/metrics has no {missing}"
    return TwoFigures(*(found[name] for name in names))


def of_page(html: str) -> TwoFigures:
    return TwoFigures(*(_number(html, name) for name in ("kept", "lost")))


def _number(html: str, name: str) -> int:
    found = re.search(NUMBER.format(name), html)
    assert found is not None, f"the page has no figure {name!r}"
    return int(re.sub(r"\D", "", found[1]))


def _logged_in(client: httpx.Client, password: str) -> str:
    token = TOKEN.search(client.get("/login/").raise_for_status().text)
    assert token is not None, "the login form has no token"
    form = {"username": "admin", "password": password, "csrfmiddlewaretoken": token[1], "next": "/"}
    answer = client.post("/login/", data=form, headers={"Referer": f"{client.base_url}/login/"}, follow_redirects=True)
    return answer.raise_for_status().text


def words(ways: Mapping[str, TwoFigures]) -> Sequence[str]:
    return [f"{way:34} {one.failed_over:>10d} failed over, {one.dropped} dropped" for way, one in ways.items()]
