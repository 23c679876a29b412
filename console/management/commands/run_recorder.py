"""``manage.py run_recorder``: the composition root of the recorder process."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from django.core.management.base import BaseCommand

from console.logs import configure_logging
from console.recorder import Recorder

log = structlog.get_logger(__name__)
LIVE_GROUP = "live"


class Nudge:
    """Tells the consoles that rows have changed, from a loop of its own: the layer keeps its connection as long as its loop.

    Never waits, and many calls while one message is on its way are one more message. The layer may be away: the page then
    catches up by its own second.
    """

    def __init__(self, tried: Callable[[], None] = lambda: None) -> None:
        """``tried`` is called after each message, sent or not."""
        self._tried = tried
        self._loop = asyncio.new_event_loop()
        self._due = asyncio.Event()
        self._failing = False
        threading.Thread(target=self._loop.run_until_complete, args=(self._tell_for_ever(),), name="nudge", daemon=True).start()

    def __call__(self) -> None:
        self._loop.call_soon_threadsafe(self._due.set)

    async def _tell_for_ever(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await self._tell()
            self._tried()

    async def _tell(self) -> None:
        try:
            layer = get_channel_layer()
            if layer is not None:
                await layer.group_send(LIVE_GROUP, {"type": "live.changed"})
            self._failing = False
        except Exception as error:  # noqa: BLE001 — the layer's library raises anything; records must go on
            if not self._failing:
                log.warning("consoles cannot be told of changes", error=repr(error))
            self._failing = True


class Command(BaseCommand):
    help = "Store the journal of every call in the database."
    requires_system_checks = []

    def handle(self, *args: object, **options: object) -> None:
        configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        log.info("the recorder reads the journal")
        Recorder(settings.LIFELINE_REDIS_DURABLE_URL, Nudge()).run(stop)
