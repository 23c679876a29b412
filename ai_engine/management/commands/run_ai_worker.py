"""``manage.py run_ai_worker``: the composition root of one AI worker process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ai_engine.caches.store import Cache, configured_caches
from ai_engine.circuits.board import CircuitBoard
from ai_engine.drills.watch import DrillWatch
from ai_engine.engine_store import EngineStore, engine_settings
from ai_engine.engines.build import Engines, load_adapters
from ai_engine.engines.rows import usable
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
        store = EngineStore(engine_settings())
        try:
            store.load()
            engines = Engines(store.current()) if store.by_setting else first_engines(store)
            caches = configured_caches(settings.LIFELINE_CACHES)
        except BadEngineConfigError as error:
            raise CommandError(str(error)) from error
        uvloop.run(_serve(store, engines, caches))


def first_engines(store: EngineStore) -> Engines:
    """Rows, unlike a setting, must not keep a worker from starting: what cannot be built here is left out, and said."""
    kept, lacking = usable(store.current())
    for problem in lacking:
        log.error("engine_left_out", error=problem)
    store.refused = "; ".join(lacking)
    return Engines(kept)


async def _serve(store: EngineStore, engines: Engines, caches: frozenset[Cache]) -> None:
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
        engines_problem=lambda: store.problem,
        drills=DrillWatch(
            settings.LIFELINE_REDIS_DURABLE_URL,
            engines.configs,
            worker_id,
            threshold=settings.LIFELINE_CIRCUIT_FAILURES,
            open_s=settings.LIFELINE_CIRCUIT_OPEN_S,
        ),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    refreshing = [
        asyncio.create_task(work)
        for work in (flows.run(), store.run(lambda configs: worker.set_engines(Engines(configs)), prepare=load_adapters))
    ]
    try:
        await worker.run()
    finally:
        for task in refreshing:
            task.cancel()
        await asyncio.gather(*refreshing, return_exceptions=True)
