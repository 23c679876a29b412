"""``manage.py run_local_engine``: the composition root of the local speech and language engine."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ai_engine.local.engine import EngineConfig, LocalEngine, PortTakenError
from console.logs import configure_logging


class Command(BaseCommand):
    help = "Serve speech recognition (Vosk's WebSocket) and understanding and speech (OpenAI's interface) on this machine."
    requires_system_checks = []

    def handle(self, *args: object, **options: object) -> None:
        configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
        config = EngineConfig(
            host=settings.LIFELINE_ENGINE_HOST,
            stt_port=settings.LIFELINE_ENGINE_STT_PORT,
            http_port=settings.LIFELINE_ENGINE_HTTP_PORT,
            snapshot_path=settings.LIFELINE_FLOW_SNAPSHOT,
            fault_folder=settings.LIFELINE_DATA_DIR if settings.LIFELINE_DEMO else None,
        )
        # asyncio's own loop: the work is in other processes, and the children are made from this thread.
        asyncio.run(_serve(config))


async def _serve(config: EngineConfig) -> None:
    task = asyncio.create_task(LocalEngine(config).run())
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, task.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    except* PortTakenError as errors:
        raise CommandError("; ".join(str(error) for error in errors.exceptions)) from errors
