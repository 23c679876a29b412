"""The admin's pages beside its forms: check and publish a flow, watch it being published, hear a prompt.

Owns what these pages need; who may see them is decided here too, on every request. Mounted by ``admin.py``.
"""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from callflows import jobs, publishing
from callflows.differences import differences, keypad_menu
from callflows.models import Flow, Prompt, PublishJob

MAY_VIEW = "callflows.view_flow"
MAY_PUBLISH = "callflows.publish_flow"
# A change of the voice changes every piece; more lines than this nobody reads.
MOST_DIFFERENCES = 200


def check_flow(request: HttpRequest, flow_id: int) -> HttpResponse:
    """What stands against publishing, what would change, and the button that publishes (on POST)."""
    _require(request, MAY_VIEW)
    flow = get_object_or_404(Flow, pk=flow_id)
    if request.method == "POST":
        return _publish(request, flow)
    draft = publishing.build(flow)
    latest = publishing.latest_version(flow)
    changes = differences(latest.definition, draft) if latest else []
    return _page(
        request,
        "callflows/check_flow.html",
        f"Check and publish: {flow.name}",
        flow=flow,
        problems=publishing.check(flow),
        latest=latest,
        next_number=draft.number,
        differs=publishing.differs_from_published(flow),
        differences=changes[:MOST_DIFFERENCES],
        more_differences=max(0, len(changes) - MOST_DIFFERENCES),
        menu=keypad_menu(draft),
        may_publish=request.user.has_perm(MAY_PUBLISH),
    )


def publish_job(request: HttpRequest, job_id: int) -> HttpResponse:
    """The progress and the end of one publishing; the part that changes alone, when htmx asks for it."""
    _require(request, MAY_VIEW)
    job = jobs.look(get_object_or_404(PublishJob.objects.select_related("flow", "version"), pk=job_id))
    under_way = job.state in (PublishJob.State.QUEUED, PublishJob.State.RUNNING)
    if request.headers.get("HX-Request") == "true":
        return render(request, "callflows/_publish_state.html", {"job": job, "under_way": under_way})
    title = f"Publishing: {job.flow.name}"
    return _page(request, "callflows/publish_job.html", title, job=job, under_way=under_way, flow=job.flow)


def prompt_audio(request: HttpRequest, prompt_id: int) -> HttpResponseBase:
    """The prompt's WAV file; it never changes, so a browser may keep it."""
    _require(request, "callflows.view_prompt")
    prompt = get_object_or_404(Prompt, pk=prompt_id)
    response = HttpResponse(bytes(prompt.wav), content_type="audio/wav")
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    response["Content-Disposition"] = f'inline; filename="{prompt.file}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _publish(request: HttpRequest, flow: Flow) -> HttpResponse:
    _require(request, MAY_PUBLISH)
    if not publishing.differs_from_published(flow):
        messages.info(request, "Nothing has changed since the last version, so there is nothing to publish.")
        return redirect(reverse("admin:callflows_check", args=[flow.pk]))
    user = request.user if request.user.is_authenticated else None
    job = jobs.begin(flow, user, request.POST.get("note", "").strip()[:200])
    return redirect(reverse("admin:callflows_publishjob", args=[job.pk]))


def _page(request: HttpRequest, template: str, title: str, **context: object) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), "title": title, **context})


def _require(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied
