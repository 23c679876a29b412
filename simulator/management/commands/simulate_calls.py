"""`manage.py simulate_calls`: place calls, show how they go, and say at the end what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.logs import configure_logging
from espeak.errors import SpeechError
from simulator.errors import SimulatorError
from simulator.from_settings import switch_config, traffic_config
from simulator.lateness import Lateness
from simulator.record_file import RecordFile
from simulator.records import Totals
from simulator.report import progress_line, table
from simulator.switch import Switch
from simulator.traffic import Traffic

_REFRESH_TERMINAL_S = 0.25
_REFRESH_PLAIN_S = 5.0
_DEFAULT_LIMIT = 10


def add_call_options(parser: CommandParser) -> None:
    parser.add_argument("--scenario", default="mix", help="mix, or names with weights: balance:3,person")
    parser.add_argument("--bridge", default="", help="host:port|host:port of the bridges (default: the settings')")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than real time the calls run")
    parser.add_argument("--flow-snapshot", default="", help="JSON of the published flows, for their example utterances")
    parser.add_argument("--at-once", type=int, default=1000, help="calls at the same time, at most")
    parser.add_argument("--records", default="", help="file that gets one JSON line for each call, for comparing them one by one")
    parser.add_argument("--seed", type=int, default=None, help="repeat the same callers")


def record_file(options: dict[str, Any]) -> contextlib.AbstractContextManager[RecordFile | None]:
    return RecordFile(Path(options["records"])) if options["records"] else contextlib.nullcontext()


class Command(BaseCommand):
    help = "Place simulated calls to the bridge from a switch of their own."
    requires_system_checks: list[str] = []  # neither pages nor models are needed to place calls

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rate", type=float, default=1.0, help="calls a second (default 1)")
        parser.add_argument("--limit", type=int, default=None, help="calls altogether (default 10)")
        parser.add_argument("--duration", type=float, default=None, help="seconds in which calls begin")
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of the table")
        add_call_options(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["rate"] <= 0 or options["speed"] <= 0 or options["at_once"] <= 0:
            raise CommandError("--rate, --speed and --at-once must be above zero")
        if options["limit"] is None and options["duration"] is None:
            options["limit"] = _DEFAULT_LIMIT
        configure_logging("INFO" if options["verbosity"] > 1 else "ERROR", show_pii=True)
        try:
            totals = uvloop.run(self._run(options))
        except (SimulatorError, SpeechError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("stopped before the calls had ended") from None
        self.stdout.write(json.dumps(totals.as_dict()) if options["json"] else table(totals))

    async def _run(self, options: dict[str, Any]) -> Totals:
        switch = Switch(switch_config(options, inbound_port=None))
        with record_file(options) as records:
            traffic = Traffic(switch, traffic_config(options), records.write if records else None)
            return await self._place(switch, traffic, options, records)

    async def _place(self, switch: Switch, traffic: Traffic, options: dict[str, Any], records: RecordFile | None) -> Totals:
        await traffic.prepare()
        await switch.start()
        lateness = Lateness()
        measuring = asyncio.create_task(lateness.run())
        showing = asyncio.create_task(self._show(switch, traffic, options))
        try:
            totals = await traffic.run()
            if records is not None:
                records.end(traffic.started, lateness.as_dict())
            return totals
        finally:
            for task in (showing, measuring):
                task.cancel()
            await asyncio.gather(showing, measuring, return_exceptions=True)
            await switch.stop()

    async def _show(self, switch: Switch, traffic: Traffic, options: dict[str, Any]) -> None:
        """On stderr, so that stdout has nothing but the result."""
        is_terminal = sys.stderr.isatty()
        self.stderr.style_func = str  # Django paints its stderr as an error
        began_s = switch.clock.now_s()
        end = "\r" if is_terminal else "\n"
        try:
            while True:
                await asyncio.sleep(_REFRESH_TERMINAL_S if is_terminal else _REFRESH_PLAIN_S)
                line = progress_line(
                    traffic.totals, started=traffic.started, live=traffic.live, limit=options["limit"],
                    elapsed_s=switch.clock.now_s() - began_s,
                )  # fmt: skip
                self.stderr.write(f"\033[K{line}" if is_terminal else line, ending=end)
                self.stderr.flush()
        finally:
            if is_terminal:
                self.stderr.write("\033[K", ending="")
