"""`manage.py run_simulator`: a FreeSWITCH's stand-in that stays up, with callers arriving."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from typing import Any

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.logs import configure_logging
from espeak.errors import SpeechError
from simulator.errors import SimulatorError
from simulator.from_settings import switch_config, traffic_config
from simulator.lateness import Lateness
from simulator.management.commands.simulate_calls import add_call_options, record_file
from simulator.record_file import RecordFile
from simulator.scenarios import SCENARIOS, choose
from simulator.switch import Person, Switch
from simulator.traffic import Traffic

log = structlog.get_logger(__name__)

# Two looks at a folder a second cost nothing, and a published flow is there before its publisher has called.
WATCH_S = 0.5
# New objects between two looks for those in cycles that nobody needs. At Python's own 700 looking was a twelfth of what hundreds
# of calls took.
OBJECTS_BEFORE_A_LOOK = 20_000


class Command(BaseCommand):
    help = "Run the simulated switch: Event Socket like FreeSWITCH's, and callers arriving at a rate."
    requires_system_checks: list[str] = []  # neither pages nor models are needed

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rate", type=float, default=None, help="calls a second, 0 for none")
        parser.add_argument("--port", type=int, default=None, help="port of the switch's own Event Socket")
        parser.add_argument("--duration", type=float, default=None, help="seconds in which calls begin (default: for ever)")
        add_call_options(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
        if options["rate"] is None:
            try:
                options["rate"] = float(settings.LIFELINE_SIMULATE_RATE)
            except ValueError:
                found = settings.LIFELINE_SIMULATE_RATE
                raise CommandError(f"LIFELINE_SIMULATE_RATE is {found!r}: not a number") from None
        options |= {"limit": None}
        try:
            uvloop.run(self._run(options))
        except (SimulatorError, SpeechError) as error:
            raise CommandError(str(error)) from error

    async def _run(self, options: dict[str, Any]) -> None:
        port = options["port"] if options["port"] is not None else settings.LIFELINE_SWITCH_PORT
        people: dict[str, Traffic] = {}

        def answering(name: str) -> Person:
            """Who picks up when the switch places a call: a caller of that scenario, or of the mix."""
            scenario = SCENARIOS.get(name) or choose(options["scenario"], random.Random())
            return lambda session: people["traffic"].person(session, scenario)

        switch = Switch(switch_config(options, inbound_port=port), answering)
        with record_file(options) as records:
            traffic = people["traffic"] = Traffic(switch, traffic_config(options), records.write if records else None)
            gc.freeze()
            gc.set_threshold(OBJECTS_BEFORE_A_LOOK, 10, 10)
            await self._serve(switch, traffic, options["rate"], records)

    async def _serve(self, switch: Switch, traffic: Traffic, rate: float, records: RecordFile | None) -> None:
        self._lateness = Lateness()
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await switch.start()
        log.info("switch_ready", inbound_port=switch.inbound_port, bridges=switch.config.bridges, rate=rate)
        try:
            async with asyncio.TaskGroup() as tasks:
                arriving = tasks.create_task(self._arrive(traffic, rate, records))
                measuring = tasks.create_task(self._lateness.run())
                watching = tasks.create_task(self._watch_dialplan(switch))
                await stopping.wait()
                watching.cancel()
                measuring.cancel()
                arriving.cancel()
        except* (SimulatorError, SpeechError) as group:
            raise group.exceptions[0] from None
        finally:
            await switch.stop()
            log.info("switch_stopped", **traffic.totals.counts())

    async def _watch_dialplan(self, switch: Switch) -> None:
        """What an operator does with `reloadxml`: this switch has nobody to do it."""
        seen = await asyncio.to_thread(switch.dialplan_stamp)
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                found = await asyncio.to_thread(switch.dialplan_stamp)
                if found != seen:
                    seen = found
                    await asyncio.to_thread(switch.reload_dialplan)
                    log.info("dialplan_reloaded")
            except (SimulatorError, OSError) as error:
                log.error("dialplan_not_reloaded", error=str(error))

    async def _arrive(self, traffic: Traffic, rate: float, records: RecordFile | None) -> None:
        await traffic.prepare()
        if rate > 0:
            await traffic.run()
            if records is not None:
                records.end(traffic.started, self._lateness.as_dict())
