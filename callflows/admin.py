"""Django admin of flows: the draft's forms, prompts with their sound, and published versions to read.

Owns the forms. The pages that check, publish and play are in ``pages.py``; nothing here changes what calls use.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.decorators import action
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminFileFieldWidget

from callflows import pages, publishing, rendering
from callflows.definition.flow import SystemPhrases
from callflows.differences import differences, keypad_menu
from callflows.errors import UploadRefusedError
from callflows.flow_form import SEEN, FlowForm
from callflows.hours_text import people_now
from callflows.models import Flow, FlowVersion, Intent, KeypadMapping, Outcome, Prompt, Slot, SlotChoice


class ShortTexts:
    """Text fields of two lines: nearly all of them hold one sentence that is spoken."""

    many_lines: tuple[str, ...] = ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if isinstance(db_field, models.TextField) and field is not None and db_field.name not in self.many_lines:
            field.widget.attrs["rows"] = 2
        return field


class KeypadInline(ShortTexts, StackedInline):
    model = KeypadMapping
    fields = [("digit", "menu_prompt")]
    extra = 1


class OutcomeInline(ShortTexts, TabularInline):
    model = Outcome
    extra = 0


class SlotChoiceInline(TabularInline):
    model = SlotChoice
    extra = 0


class IntentInline(ShortTexts, StackedInline):
    """An intent with its examples; its key and its outcomes are nested in it."""

    model = Intent
    extra = 0
    tab = True
    many_lines = ("utterances",)
    fields = [
        ("label", "name"), "policy", "utterances", "slots", ("action", "destination"), ("confirm", "careful"), "position",
    ]  # fmt: skip
    inlines = [KeypadInline, OutcomeInline]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "slots":
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
            kwargs["queryset"] = _slots_of_page(request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class SlotInline(ShortTexts, StackedInline):
    model = Slot
    extra = 0
    tab = True
    fields = [
        ("label", "name"), ("kind", "sensitive"), "ask", "ask_keypad", ("min_length", "max_length"), "position",
    ]  # fmt: skip
    inlines = [SlotChoiceInline]


def _slots_of_page(request: HttpRequest) -> models.QuerySet[Slot]:
    match = request.resolver_match
    flow_id = match.kwargs.get("object_id") if match else None
    return Slot.objects.filter(flow_id=flow_id) if flow_id else Slot.objects.none()


@admin.register(Flow)
class FlowAdmin(ShortTexts, ModelAdmin):
    form = FlowForm
    many_lines = ("extra_phrases", "opening_week", "special_days")
    list_display = ["name", "destination_number", "state", "people", "updated_at"]
    search_fields = ["name", "slug", "destination_number"]
    readonly_fields = ["state", "people", "menu_preview"]
    inlines = [IntentInline, SlotInline]
    actions_detail = ["check_flow", "publish_flow"]
    warn_unsaved_form = True
    compressed_fields = False
    fieldsets = [
        (None, {"fields": ["state", "people", "name", "slug", "destination_number", "human_destination", "menu_preview"]}),
        ("What every call says", {"fields": [*SystemPhrases.__struct_fields__, "extra_phrases"]}),
        ("Opening hours of people", {
            "fields": ["opening_zone", "opening_week", "special_days"],
            "description": "The AI and the keypad menu serve callers around the clock. Outside these hours nobody is connected "
            "with a person: the caller hears “closed” and is offered everything else again.",
        }),
        ("Voice and time limits", {"fields": ["language", "voice", "turn_budget_ms", "listen_limit_ms"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Flow | None = None) -> Any:
        if obj is None or not self.has_change_permission(request, obj):
            return self.fieldsets
        first: Any
        first, *others = self.fieldsets
        return [(None, {"fields": [*first[1]["fields"], SEEN]}), *others]

    def get_readonly_fields(self, request: HttpRequest, obj: Flow | None = None) -> Any:
        """The short name of a published flow too, unless it was changed by other ways and must be changed back."""
        is_final = obj is not None and obj.versions.exists() and not obj.slug_fault()
        return [*self.readonly_fields, *(["slug"] if is_final else [])]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Flow | None:
        """Locked while it is saved: of two who save at once, the second is compared with what the first has saved."""
        if request.method == "POST" and object_id.isdecimal():
            Flow.objects.select_for_update().filter(pk=object_id).first()
        return super().get_object(request, object_id, from_field)

    def get_urls(self) -> list[URLPattern]:
        mine = [
            path("<int:flow_id>/check/", self.admin_site.admin_view(pages.check_flow), name="callflows_check"),
            path("publishing/<int:job_id>/", self.admin_site.admin_view(pages.publish_job), name="callflows_publishjob"),
        ]
        return [*mine, *super().get_urls()]

    @admin.display(description="State")
    def state(self, flow: Flow) -> str:
        latest = publishing.latest_version(flow) if flow.pk else None
        if latest is None:
            return "Never published"
        if publishing.differs_from_published(flow):
            return f"Draft differs from published version {latest.number}"
        return f"Same as published version {latest.number}"

    @admin.display(description="People")
    def people(self, flow: Flow) -> str:
        """By the version that calls use, not by the draft."""
        latest = publishing.latest_version(flow) if flow.pk else None
        return "" if latest is None else people_now(latest.definition.hours, timezone.now())

    @admin.display(description="The keypad menu, as callers hear it")
    def menu_preview(self, flow: Flow) -> str:
        if not flow.pk:
            return "Save the flow first."
        sentences = format_html_join("", "<li>{}</li>", ((text,) for text in keypad_menu(publishing.build(flow))))
        return format_html('<ol class="list-decimal pl-6">{}</ol>', sentences) if sentences else "It is empty."

    @action(description="Check", permissions=["view"], url_path="see-check")
    def check_flow(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect(reverse("admin:callflows_check", args=[object_id]))

    @action(description="Publish", permissions=["publish"], url_path="see-publish")
    def publish_flow(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect(reverse("admin:callflows_check", args=[object_id]) + "#publish-heading")

    def has_publish_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """unfold asks by this name; a permission named in the action itself would make its check ask the database."""
        return request.user.has_perm("callflows.publish_flow")


class UploadForm(forms.ModelForm):
    """A recording and the words in it. The file is transcoded; its own name and format are not kept."""

    recording = forms.FileField(
        widget=UnfoldAdminFileFieldWidget,
        help_text="A WAV file. It is used wherever a flow of this voice says exactly these words, once published.",
    )

    class Meta:
        model = Prompt
        fields = ["text", "voice"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        upload = cleaned.get("recording")
        if upload is None:
            return cleaned
        if upload.size > rendering.MAX_UPLOAD_BYTES:
            raise forms.ValidationError({"recording": "The file is too large."})
        try:
            sha256, recording = rendering.transcode(upload.read())
        except UploadRefusedError as error:
            raise forms.ValidationError({"recording": str(error)}) from error
        if Prompt.objects.filter(sha256=sha256).exists():
            raise forms.ValidationError({"recording": "This recording is already there."})
        self.instance.sha256, self.instance.source = sha256, Prompt.Source.UPLOADED
        self.instance.wav, self.instance.duration_ms = recording.wav, recording.duration_ms
        return cleaned


@admin.register(Prompt)
class PromptAdmin(ModelAdmin):
    """A prompt's sound never changes: another recording is another prompt."""

    list_display = ["__str__", "source", "voice", "seconds", "player"]
    list_filter = ["source", "voice"]
    search_fields = ["text"]
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Prompt]:
        return super().get_queryset(request).defer("wav")

    def get_form(self, request: HttpRequest, obj: Prompt | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if obj else {"form": UploadForm}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: Prompt | None = None) -> list[str]:
        if obj is None:
            return ["text", "voice", "recording"]
        own = ["preferred"] if obj.source == Prompt.Source.UPLOADED else []
        return ["text", "player", *own, "source", "voice", "seconds", "file", "created_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Prompt | None = None) -> list[str]:
        return [name for name in self.get_fields(request, obj) if name != "preferred"] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Prompt | None = None) -> bool:
        changeable = obj is None or obj.source == Prompt.Source.UPLOADED
        return changeable and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Prompt | None = None) -> bool:
        """A published version may need any of them."""
        return False

    def get_urls(self) -> list[URLPattern]:
        audio = path("<int:prompt_id>/audio/", self.admin_site.admin_view(pages.prompt_audio), name="callflows_prompt_audio")
        return [audio, *super().get_urls()]

    @admin.display(description="Length", ordering="duration_ms")
    def seconds(self, prompt: Prompt) -> str:
        return f"{prompt.duration_ms / 1000:.1f} s"

    @admin.display(description="Listen")
    def player(self, prompt: Prompt) -> SafeString:
        return format_html(
            '<audio controls preload="none" src="{}" aria-label="Listen to: {}"></audio>',
            reverse("admin:callflows_prompt_audio", args=[prompt.pk]),
            prompt.text,
        )


@admin.register(FlowVersion)
class FlowVersionAdmin(ModelAdmin):
    """Published versions, to read: each with what changed since the one before."""

    list_display = ["__str__", "published_at", "published_by", "note"]
    list_filter = ["flow"]
    fields = ["flow", "number", "published_at", "published_by", "note", "changes", "menu"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[FlowVersion]:
        return super().get_queryset(request).select_related("flow", "published_by").defer("published")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: FlowVersion | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FlowVersion | None = None) -> bool:
        return False

    @admin.display(description="Changes since the version before")
    def changes(self, row: FlowVersion) -> str:
        before = FlowVersion.objects.filter(flow=row.flow, number__lt=row.number).order_by("-number").first()
        if before is None:
            return "This is the first version."
        found = differences(before.definition, row.definition)[: pages.MOST_DIFFERENCES]
        items = format_html_join("", "<li><strong>{}:</strong> {}</li>", ((d.change.value, d.line) for d in found))
        return format_html('<ul class="list-disc pl-6">{}</ul>', items)

    @admin.display(description="The keypad menu, as callers hear it")
    def menu(self, row: FlowVersion) -> SafeString:
        sentences = format_html_join("", "<li>{}</li>", ((text,) for text in keypad_menu(row.definition)))
        return format_html('<ol class="list-decimal pl-6">{}</ol>', sentences)
