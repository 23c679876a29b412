"""A flow's form: what an editor has not seen is not overwritten.

Owns the comparison of what was opened with what is there now. The fields are ``admin.py``'s.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from callflows.models import Flow

SEEN = "seen"


class FlowForm(forms.ModelForm):
    """Every save of the page, of its intents and slots too, moves the flow's ``updated_at``."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Flow
        fields = "__all__"  # noqa: DJ007 — the admin's fieldsets name them

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields[SEEN].initial = self.instance.updated_at.isoformat()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk and cleaned.get(SEEN) != self.instance.updated_at.isoformat():
            at = f"{timezone.localtime(self.instance.updated_at):%H:%M:%S}"
            raise forms.ValidationError(
                f"{_who(self.instance)} saved this flow at {at}, after you had opened it. Nothing of yours is saved, and all that "
                "you typed is still below: open the flow in a second window to see what has changed, and save your changes there."
            )
        return cleaned


def _who(flow: Flow) -> str:
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Flow), object_id=str(flow.pk))
    last = entries.select_related("user").order_by("-action_time").first()
    return "Somebody" if last is None else last.user.get_username()
