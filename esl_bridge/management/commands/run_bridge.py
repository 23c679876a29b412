"""``manage.py run_bridge``: the composition root of one bridge process."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Sequence

import structlog
import uvloop
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import turns_name
from ai_engine.drills.watch import DrillWatch
from ai_engine.engine_store import EngineStore, engine_settings
from ai_engine.engines.config import EngineConfig
from ai_engine.errors import BadEngineConfigError
from ai_engine.redis_clients import connect_async
from callflows.actions import business
from callflows.definition.errors import BadSnapshot
from callflows.definition.files import missing_files
from callflows.store import FlowStore
from console.logs import configure_logging
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.bridge import Bridge, BridgeConfig
from esl_bridge.calls.to_switch import SwitchSettings
from esl_bridge.door import make_room_for
from esl_bridge.journal.sender import Journal
from esl_bridge.upkeep import Upkeep, part_from_journal

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Run live calls that FreeSWITCH hands over. SIGTERM takes no new ones and finishes those it has."
    requires_system_checks = []

    def handle(self, *args: object, **options: object) -> None:
        configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
        try:
            uvloop.run(_serve(float(settings.LIFELINE_DRAIN_S)))
        except (BadEngineConfigError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(
                f"The bridge cannot listen on {settings.LIFELINE_ESL_HOST}:{settings.LIFELINE_ESL_PORT} ({error}): "
                "change LIFELINE_ESL_PORT, or stop what uses the port."
            ) from error


def bridge_config() -> BridgeConfig:
    return BridgeConfig(
        bridge_id=settings.LIFELINE_BRIDGE_ID,
        host=settings.LIFELINE_ESL_HOST,
        port=settings.LIFELINE_ESL_PORT,
        allow=settings.LIFELINE_ESL_ALLOW,
        media_secret=settings.LIFELINE_MEDIA_SECRET,
        redis_volatile_url=settings.LIFELINE_REDIS_VOLATILE_URL,
        max_calls=settings.LIFELINE_MAX_CALLS,
        per_address=settings.LIFELINE_ESL_PER_ADDRESS,
        switch=SwitchSettings(
            chain_context=settings.LIFELINE_CHAIN_CONTEXT,
            prompt_dir=str(settings.LIFELINE_PROMPT_DIR),
            media_url=settings.LIFELINE_MEDIA_URL,
        ),
    )


def load_flows() -> FlowStore:
    """The last good snapshot, and a clear word about every prompt that is not there."""
    flows = FlowStore(settings.LIFELINE_FLOW_SNAPSHOT, settings.LIFELINE_PROMPT_DIR)
    try:
        if not flows.load_disk():
            log.warning("there is no published flow yet: calls go to the last resort", path=str(settings.LIFELINE_FLOW_SNAPSHOT))
    except (BadSnapshot, OSError) as error:
        log.error("the flow snapshot cannot be read", path=str(settings.LIFELINE_FLOW_SNAPSHOT), error=str(error))
    for flow in flows.current().flows:
        for missing in missing_files(flow, settings.LIFELINE_PROMPT_DIR):
            log.error("a prompt is missing: run `manage.py sync_switch`", flow=flow.slug, version=flow.number, prompt=missing)
    return flows


async def _serve(drain_s: float) -> None:
    store = EngineStore(engine_settings())
    store.load()
    config = bridge_config()
    make_room_for(config.limits.connections)
    flows = load_flows()
    board = CircuitBoard(
        settings.LIFELINE_REDIS_DURABLE_URL,
        store.current(),
        config.bridge_id,
        threshold=settings.LIFELINE_CIRCUIT_FAILURES,
        open_s=settings.LIFELINE_CIRCUIT_OPEN_S,
        local=[turns_name(config.bridge_id)],
    )
    await board.refresh()
    durable = connect_async(settings.LIFELINE_REDIS_DURABLE_URL)
    volatile = connect_async(settings.LIFELINE_REDIS_VOLATILE_URL)
    journal = Journal(
        settings.LIFELINE_SPOOL_DIR, durable, volatile=volatile, process=config.bridge_id, limit_bytes=settings.LIFELINE_SPOOL_BYTES
    )
    drills = DrillWatch(
        settings.LIFELINE_REDIS_DURABLE_URL,
        store.current(),
        config.bridge_id,
        threshold=settings.LIFELINE_CIRCUIT_FAILURES,
        open_s=settings.LIFELINE_CIRCUIT_OPEN_S,
    )
    bridge = Bridge(config, flows.current, board, journal, ActionRunner(business()()), drills)

    def use_engines(engines: Sequence[EngineConfig]) -> None:
        board.set_engines(engines)
        drills.set_engines(engines)

    # What was loaded by now stays for good: without this every full collection goes through it, 40 ms in which no call is heard.
    gc.collect()
    gc.freeze()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    works = (flows.run(), store.run(use_engines), board.run(), journal.run(), drills.run())
    try:
        async with Upkeep(works, stop):
            await bridge.run(stop, drain_s)
    finally:
        await part_from_journal(journal, durable, volatile)
