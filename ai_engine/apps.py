"""How the AI side is called in the admin."""

from __future__ import annotations

from django.apps import AppConfig


class AiEngineConfig(AppConfig):
    name = "ai_engine"
    verbose_name = "AI engines"
