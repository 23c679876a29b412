"""The business whose actions flows may name, as the settings say. Owns finding it, not what it does."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ivr_fallback.actions import Actions


def business() -> Any:
    """The class (``esl_bridge.actions.runner.Business``); it is made by bridges alone."""
    try:
        return import_string(settings.LIFELINE_BUSINESS)
    except ImportError as error:
        wrong = f"LIFELINE_BUSINESS is {settings.LIFELINE_BUSINESS!r}, which is no class here: {error}"
        raise ImproperlyConfigured(wrong) from error


def declared() -> Actions:
    """Its table of actions."""
    table: Actions = business().ACTIONS
    return table
