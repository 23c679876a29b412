"""The page of one switch's channels: asked of the switch itself while the page is made, and dated.

A view runs in a thread of its own, and the question ends at its deadline; the live page's regions never ask a switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from console import words
from console.models import Call
from console.switch_panel import trials_among
from console.switches import control_of, switch_named
from console.views import watcher
from esl_bridge.control_answers import Channel
from esl_bridge.control_errors import SwitchControlError

# A table that an eye can still follow; the number above it counts all.
SHOWN = 500


@dataclass(frozen=True, slots=True)
class ChannelRow:
    uuid: str
    has_page: bool
    is_test: bool
    created: datetime
    lasted: str
    caller: str
    destination: str
    endpoint: str
    doing: str


@require_GET
@watcher
@permission_required("console.see_channels", raise_exception=True)
def channels(request: HttpRequest, name: str) -> HttpResponse:
    switch = switch_named(name)
    if switch is None:
        raise Http404("there is no such switch")
    context = {"switch": switch, "problem": "", "rows": [], "count": 0, "asked_at": timezone.now()}
    try:
        found = control_of(switch).channels()
    except SwitchControlError as error:
        return render(request, "console/channels.html", context | {"problem": str(error)}, status=503)
    found.sort(key=lambda channel: channel.created, reverse=True)
    rows = channel_rows(found[:SHOWN], see_caller=request.user.has_perm("console.see_caller"))
    return render(request, "console/channels.html", context | {"rows": rows, "count": len(found), "more": len(found) - len(rows)})


def channel_rows(found: list[Channel], *, see_caller: bool) -> list[ChannelRow]:
    uuids = [channel.uuid for channel in found]
    pages = set(Call.objects.filter(call_uuid__in=uuids).values_list("call_uuid", flat=True))
    tests = trials_among(uuids)
    now = timezone.now()
    return [
        ChannelRow(
            uuid=channel.uuid,
            has_page=channel.uuid in pages,
            is_test=channel.uuid in tests,
            created=channel.created,
            lasted=words.duration((now - channel.created).total_seconds()),
            caller=(channel.caller_number or words.masked("")) if see_caller else words.masked(channel.caller_number),
            destination=channel.destination if see_caller else words.dialled(channel.destination),
            endpoint=channel.name if see_caller else words.endpoint(channel.name),
            doing=_doing(channel),
        )
        for channel in found
    ]


def _doing(channel: Channel) -> str:
    state = words.CHANNEL_STATES.get(channel.state, channel.state)
    return f"{state}: {channel.application}" if channel.application else state
