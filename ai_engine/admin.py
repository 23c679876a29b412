"""Django admin of engines: the rows, what stands against their being used, and the way to the page that tries one.

Owns the forms and the notices. Saving writes the file that workers and bridges follow (``engine_store.py``).
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from ai_engine import pages
from ai_engine.engine_store import engine_settings, export_rows
from ai_engine.engines.addresses import host_problem
from ai_engine.engines.config import SECRET_PREFIX, Stage, check
from ai_engine.engines.rows import EngineRows
from ai_engine.errors import BadEngineConfigError
from ai_engine.heartbeats import workers_seen
from ai_engine.models import Engine, StageChoice, engine_rows


class Notice(NamedTuple):
    is_bad: bool
    text: str


class EngineForm(forms.ModelForm):
    """What must hold of one engine is the model's to say; here, what must hold of it among the others."""

    def _post_clean(self) -> None:
        """After the model's own checks: an error set before them would take the field's value away from them."""
        super()._post_clean()  # type: ignore[misc]  # Not in the stubs; the documented hooks run before the model.
        if self.errors:
            return
        known, engine = engine_settings(), self.instance
        if problem := host_problem(engine.address, known.allowed_hosts):
            self.add_error("address", problem)
        if any(one.name == engine.name and one.stage.value != engine.stage for one in known.local):
            self.add_error("name", "The local engine has this name for another stage; use another one.")


@admin.register(Engine)
class EngineAdmin(ModelAdmin):
    form = EngineForm
    list_display = ["name", "try_link", "short_stage", "order", "is_enabled", "short_kind", "where", "secret_state"]
    list_filter = ["stage", "enabled"]
    list_before_template = "ai_engine/_notices.html"
    change_form_before_template = "ai_engine/_notices.html"
    # In the order of a turn, not of the alphabet.
    ordering = [models.Case(*(models.When(stage=one, then=place) for place, one in enumerate(Stage))), "order", "name"]
    view_on_site = False
    actions = ["enable", "disable"]
    actions_detail = ["try_it"]
    warn_unsaved_form = True
    compressed_fields = False
    fieldsets = [
        (None, {"fields": ["name", ("stage", "order"), "enabled"]}),
        ("Where it is", {"fields": ["kind", "address", "secret", "model", ("voice", "rate_hz"), "http2"]}),
        ("Limits", {"fields": [("first_byte_s", "total_s"), ("failures", "open_s"), ("concurrency", "per_second")]}),
        (
            "Prices, in your currency",
            {
                "fields": [
                    ("price_read_m", "price_cached_m"), ("price_written_m", "price_characters_m"), "price_heard_minute",
                ],
                "classes": ["collapse"],
            },
        ),
    ]  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        trying = path("<int:engine_id>/try/", self.admin_site.admin_view(pages.try_page), name="ai_engine_try")
        return [trying, *super().get_urls()]

    # --- saving -----------------------------------------------------------------------------------------------------
    def save_model(self, request: HttpRequest, obj: Engine, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        self._export_after(request)

    def delete_model(self, request: HttpRequest, obj: Engine) -> None:
        super().delete_model(request, obj)
        self._export_after(request)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Engine]) -> None:
        super().delete_queryset(request, queryset)
        self._export_after(request)

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: models.QuerySet[Engine]) -> None:
        self._switch(request, queryset, on=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: models.QuerySet[Engine]) -> None:
        self._switch(request, queryset, on=False)

    def _switch(self, request: HttpRequest, queryset: models.QuerySet[Engine], *, on: bool) -> None:
        for engine in queryset.exclude(enabled=on):
            engine.enabled = on
            engine.save(update_fields=["enabled", "updated_at"])
            self.log_change(request, engine, "Enabled." if on else "Disabled.")
        self._export_after(request)

    def _export_after(self, request: HttpRequest) -> None:
        transaction.on_commit(lambda: _export(request))

    # --- what is seen -----------------------------------------------------------------------------------------------
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "notices": notices()})

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        found = [_setting_notice()] if engine_settings().by_setting else []
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), "notices": found})

    @admin.display(description="Stage")
    def short_stage(self, engine: Engine) -> str:
        return engine.stage

    @admin.display(description="Interface", ordering="kind")
    def short_kind(self, engine: Engine) -> str:
        return engine.kind

    @admin.display(description="Address and model")
    def where(self, engine: Engine) -> SafeString:
        model = f" ({engine.model})" if engine.model else ""
        return format_html('<span class="break-all">{}{}</span>', engine.address, model)

    @display(description="Enabled", boolean=True, ordering="enabled")
    def is_enabled(self, engine: Engine) -> bool:
        return engine.enabled

    @admin.display(description="Secret")
    def secret_state(self, engine: Engine) -> SafeString:
        missing = "" if not engine.secret or os.environ.get(engine.secret) else ": not set for the console"
        name = engine.secret.removeprefix(SECRET_PREFIX) or "None"
        return format_html('<span class="break-words" title="{}">{}{}</span>', engine.secret, name, missing)

    @admin.display(description="")
    def try_link(self, engine: Engine) -> SafeString:
        return format_html(
            '<a class="underline whitespace-nowrap" href="{}" aria-label="Try {}">Try it</a>',
            reverse("admin:ai_engine_try", args=[engine.pk]),
            engine.name,
        )

    def get_list_display(self, request: HttpRequest) -> list[str]:
        may_try = request.user.has_perm(pages.MAY_TRY)
        return [name for name in self.list_display if may_try or name != "try_link"]

    @action(description="Try it", permissions=["change"], url_path="see-try")
    def try_it(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect(reverse("admin:ai_engine_try", args=[object_id]))


def notices() -> list[Notice]:
    """What an operator must know beside the rows, the worst first."""
    known = engine_settings()
    if known.by_setting:
        return [_setting_notice()]
    rows = engine_rows()
    found = []
    try:
        check(rows.serving(known.local), "The rows cannot be used, and the earlier engines go on")
    except BadEngineConfigError as error:
        found.append(Notice(True, str(error)))
    for worker, beat in workers_seen(settings.LIFELINE_REDIS_VOLATILE_URL) or ():
        if beat.engines_problem:
            found.append(Notice(True, f"{worker} does not use the newest engines: {beat.engines_problem}."))
    return found + _stage_notices(rows)


def _stage_notices(rows: EngineRows) -> list[Notice]:
    found = []
    used, known = {one.stage for one in rows.enabled}, {one.stage for one in (*rows.enabled, *rows.disabled)}
    dark = [StageChoice(stage).label for stage in Stage if stage in known - used]
    if dark:
        found.append(Notice(True, f"Every engine is disabled for: {', '.join(dark)}. Calls get the keypad menu."))
    if not known:
        found.append(Notice(False, "There is no engine here: the local engine serves every stage."))
    elif local := [StageChoice(stage).label for stage in Stage if stage not in known]:
        found.append(Notice(False, f"The local engine serves what has no engine here: {', '.join(local)}."))
    return found


def _setting_notice() -> Notice:
    return Notice(True, "LIFELINE_ENGINES is set and wins: the engines below can be edited and tried, but calls do not use them.")


def _export(request: HttpRequest) -> None:
    try:
        export_rows(settings.LIFELINE_ENGINE_SNAPSHOT)
    except BadEngineConfigError as error:
        messages.error(request, f"Stored, but calls go on with the earlier engines: {error}")
    except OSError as error:
        messages.warning(request, f"Stored; workers read it from the database. Its copy on this machine was not written: {error}")
