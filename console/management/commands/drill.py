"""``manage.py drill``: begin, end and list drills from a shell."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ai_engine.drills import store
from ai_engine.drills.drill import Failure, Scope
from ai_engine.drills.errors import DrillError
from ai_engine.engines.config import Stage
from console import drill_words, drills
from console.models import Drill


class Command(BaseCommand):
    help = "Make a part of the AI fail on purpose, for chosen calls and a limited time; see what came of it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        orders = parser.add_subparsers(dest="order", required=True, metavar="start|end|list")
        start = orders.add_parser("start", help="begin one; it ends by itself")
        start.add_argument("failure", choices=[one.value for one in Failure])
        start.add_argument("stage", choices=[one.value for one in Stage])
        start.add_argument("--for", dest="seconds", type=int, default=60, help="seconds")
        start.add_argument("--percent", type=int, help="of all calls, real ones included; without it simulated calls only")
        start.add_argument("--confirm", type=int, metavar="PERCENT", help="the same number again, for real calls")
        start.add_argument("--why", default="")
        orders.add_parser("end", help="end the one that runs, at once")
        listing = orders.add_parser("list", help="what runs, and the last reports")
        listing.add_argument("--count", type=int, default=5)

    def handle(self, *args: object, **options: object) -> None:
        try:
            {"start": self._start, "end": self._end, "list": self._list}[str(options["order"])](options)
        except DrillError as error:
            raise CommandError(str(error)) from error

    def _start(self, options: dict[str, object]) -> None:
        percent, seconds = options["percent"], int(str(options["seconds"]))
        if percent is not None and options["confirm"] != percent:
            raise CommandError(f"real callers will meet it: add --confirm {percent}")
        scope = Scope.SIMULATED if percent is None else Scope.PERCENT
        drill = drills.begin(
            Failure(str(options["failure"])), Stage(str(options["stage"])), scope, percent=int(str(percent or 0)),
            duration_s=seconds, user=getpass.getuser(), why=str(options["why"])[:200],
        )  # fmt: skip
        self.stdout.write(f"begun: {drill.drill_id}; it ends by itself after {seconds} s")

    def _end(self, options: dict[str, object]) -> None:
        running = store.current(settings.LIFELINE_REDIS_DURABLE_URL)
        ended = running is not None and drills.end(running.drill.drill_id, getpass.getuser())
        self.stdout.write(f"ended: {running.drill.drill_id}" if running is not None and ended else "no drill is under way")

    def _list(self, options: dict[str, object]) -> None:
        drills.settle(timezone.now())
        running = store.current(settings.LIFELINE_REDIS_DURABLE_URL)
        if running is not None:
            one = running.drill
            what = drill_words.what(one.failure, one.stage, one.scope, one.percent)
            self.stdout.write(f"under way: {one.drill_id} {what}, fails for {running.failing_left_s:.0f} s more")
        for drill in Drill.objects.all()[: max(1, int(str(options["count"])))]:
            figures = ", ".join(f"{one.name.lower()} {one.value}" for one in drill_words.report(drill, None))
            what = drill_words.what(drill.failure, drill.stage, drill.scope, drill.percent)
            self.stdout.write(f"{drill.asked_at:%Y-%m-%d %H:%M} {drill.drill_id} {what}: {drill_words.verdict(drill)}; {figures}")
