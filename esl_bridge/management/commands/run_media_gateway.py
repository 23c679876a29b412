"""``manage.py run_media_gateway``: the composition root of one media gateway process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console.logs import configure_logging
from esl_bridge.door import make_room_for
from esl_bridge.media.gateway import Gateway, GatewayConfig


class Command(BaseCommand):
    help = "Take the calls' audio from mod_audio_stream over WebSocket and publish it for the AI workers."
    requires_system_checks = []

    def handle(self, *args: object, **options: object) -> None:
        configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
        config = GatewayConfig(
            host=settings.LIFELINE_MEDIA_HOST,
            port=settings.LIFELINE_MEDIA_PORT,
            allow=settings.LIFELINE_MEDIA_ALLOW,
            secret=settings.LIFELINE_MEDIA_SECRET,
            redis_url=settings.LIFELINE_REDIS_VOLATILE_URL,
            gateway_id=f"gateway-{socket.gethostname()}-{os.getpid()}",
            max_calls=settings.LIFELINE_MEDIA_MAX_CALLS,
            per_address=settings.LIFELINE_MEDIA_PER_ADDRESS,
        )
        make_room_for(config.limits.connections)
        try:
            uvloop.run(_serve(config))
        except OSError as error:
            raise CommandError(
                f"The media gateway cannot listen on {config.host}:{config.port} ({error}): "
                "change LIFELINE_MEDIA_PORT, or stop what uses the port."
            ) from error


async def _serve(config: GatewayConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Gateway(config).run(stop)
