"""``manage.py run_ai_worker``: the composition root of one AI worker process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ai_engine.caches.store import Cache, configured_caches
from ai_engine.circuits.board import CircuitBoard
from ai_engine.engines.build import Engines
from ai_engine.engines.config import configured_engines
from ai_engine.errors import BadEngineConfigError
from ai_engine.worker import Worker
from callflows.definition.errors import BadSnapshot
from callflows.store import FlowStore
from console.logs import configure_logging

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Take turns from the queue, ask the AI engines, publish what they understood. SIGTERM finishes its turns."
    requires_system_checks = []

    def handle(self, *args: object, **options: object) -> None:
        configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
        try:
            configs = configured_engines(
                settings.LIFELINE_ENGINES,
                host=settings.LIFELINE_ENGINE_HOST,
                stt_port=settings.LIFELINE_ENGINE_STT_PORT,
                http_port=settings.LIFELINE_ENGINE_HTTP_PORT,
            )
            engines = Engines(configs)
            caches = configured_caches(settings.LIFELINE_CACHES)
        except BadEngineConfigError as error:
            raise CommandError(str(error)) from error
        uvloop.run(_serve(engines, caches))


async def _serve(engines: Engines, caches: frozenset[Cache]) -> None:
    worker_id = settings.LIFELINE_WORKER_ID or f"worker-{socket.gethostname()}-{os.getpid()}"
    flows = FlowStore(settings.LIFELINE_FLOW_SNAPSHOT)
    try:
        if not flows.load_disk():
            log.info("no_flow_snapshot_yet", path=str(settings.LIFELINE_FLOW_SNAPSHOT))
    except (BadSnapshot, OSError) as error:
        log.warning("flow_snapshot_unreadable", path=str(settings.LIFELINE_FLOW_SNAPSHOT), error=str(error))
    board = CircuitBoard(
        settings.LIFELINE_REDIS_DURABLE_URL,
        engines.configs,
        worker_id,
        threshold=settings.LIFELINE_CIRCUIT_FAILURES,
        open_s=settings.LIFELINE_CIRCUIT_OPEN_S,
    )
    worker = Worker(
        worker_id,
        settings.LIFELINE_REDIS_VOLATILE_URL,
        board,
        engines,
        flows.current,
        capacity=settings.LIFELINE_WORKER_TURNS,
        caches=caches,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    refreshing = asyncio.create_task(flows.run())
    try:
        await worker.run()
    finally:
        refreshing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await refreshing
