"""``manage.py run_switch_watch``: the composition root of the process that listens to the switches for calls without a bridge."""

from __future__ import annotations

import asyncio
import signal

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand

from ai_engine.redis_clients import connect_async
from console.launcher.parts import in_fleet
from console.logs import configure_logging
from console.switches import switches
from esl_bridge.journal.sender import Journal
from esl_bridge.last_resort.watch import ControlPort, Watch
from esl_bridge.upkeep import Upkeep, part_from_journal

log = structlog.get_logger(__name__)

# Its name where it tells how full its spool is, behind its host's, if that has one.
PROCESS = "switch-watch"


class Command(BaseCommand):
    help = "Enter calls that the switch serves by itself, in its dialplan of last resort, in the records."
    requires_system_checks = []

    def handle(self, *args: object, **options: object) -> None:
        configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
        uvloop.run(_serve())


async def _serve() -> None:
    durable = connect_async(settings.LIFELINE_REDIS_DURABLE_URL)
    volatile = connect_async(settings.LIFELINE_REDIS_VOLATILE_URL)
    journal = Journal(
        settings.LIFELINE_SPOOL_DIR, durable, volatile=volatile, process=in_fleet(settings.LIFELINE_HOST_NAME, PROCESS),
        limit_bytes=settings.LIFELINE_SPOOL_BYTES,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ports = [ControlPort(each.name, each.host, each.port, each.password) for each in switches()]
    try:
        async with Upkeep([journal.run(), *(Watch(port, journal.append).run() for port in ports)], stop):
            await stop.wait()
    finally:
        await part_from_journal(journal, durable, volatile)
