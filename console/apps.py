"""The console app: registers its metrics once a process."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "console"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from prometheus_client import REGISTRY

        from console.metrics import FiguresCollector, SpeedCollector

        REGISTRY.register(FiguresCollector())
        REGISTRY.register(SpeedCollector())
