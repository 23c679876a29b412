"""``manage.py circuit``: see, open, close and release circuits from a shell, with database and console down."""

from __future__ import annotations

import getpass
import time
from argparse import ArgumentParser
from datetime import UTC, datetime

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ai_engine.circuits import operators
from ai_engine.circuits.errors import CircuitError
from ai_engine.circuits.history import CircuitMove, How
from ai_engine.circuits.states import CircuitState, CircuitView
from ai_engine.engine_store import stored_engines
from ai_engine.engines.config import EngineConfig
from ai_engine.errors import BadEngineConfigError

STATES = {"open": CircuitState.FORCED_OPEN, "close": CircuitState.FORCED_CLOSED}


class Command(BaseCommand):
    help = "List the circuits, or hold one open (AI off), closed (AI on whatever happens), or release it to automatic."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        orders = parser.add_subparsers(dest="order", required=True, metavar="list|history|open|close|release")
        listing = orders.add_parser("list", help="every circuit and its state")
        listing.add_argument("--json", action="store_true", help="for programs")
        history = orders.add_parser("history", help="what moved last: by itself, and by hand")
        history.add_argument("--count", type=int, default=20, help="how many moves, the newest last")
        history.add_argument("--json", action="store_true", help="for programs")
        for order in ("open", "close", "release"):
            sub = orders.add_parser(order, help=f"{order} a circuit by hand")
            sub.add_argument("name", help="an engine, a stage (stt, nlu, tts), or turns (every bridge)")
            sub.add_argument("--why", default="", help="the reason, shown to everybody")
            if order != "release":
                sub.add_argument("--for", dest="seconds", type=float, help="release by itself after so many seconds")

    def handle(self, *args: object, **options: object) -> None:
        try:
            engines = stored_engines()
            if options["order"] == "list":
                self._list(engines, as_json=bool(options["json"]))
            elif options["order"] == "history":
                self._history(int(str(options["count"])), as_json=bool(options["json"]))
            else:
                self._order(engines, options)
        except (CircuitError, BadEngineConfigError) as error:
            raise CommandError(str(error)) from error

    def _order(self, engines: tuple[EngineConfig, ...], options: dict[str, object]) -> None:
        url, name, order = settings.LIFELINE_REDIS_DURABLE_URL, str(options["name"]), str(options["order"])
        user, why = getpass.getuser(), str(options["why"])
        if order == "release":
            names = operators.release(name, redis_url=url, engines=engines, by=user, why=why)
        else:
            seconds = options["seconds"]
            until = time.time() + seconds if isinstance(seconds, float) else None
            names = operators.force(
                name, STATES[order], user, why, until, redis_url=url, engines=engines
            )
        self.stdout.write(f"{'released' if order == 'release' else f'held {order}'}: {', '.join(names)}")

    def _list(self, engines: tuple[EngineConfig, ...], *, as_json: bool) -> None:
        views = operators.views(settings.LIFELINE_REDIS_DURABLE_URL, engines)
        if as_json:
            self.stdout.write(msgspec.json.encode(views).decode())
            return
        for view in views:
            self.stdout.write(_line(view))

    def _history(self, count: int, *, as_json: bool) -> None:
        moves = operators.moves(settings.LIFELINE_REDIS_DURABLE_URL, max(1, count))[::-1]
        if as_json:
            self.stdout.write(msgspec.json.encode(moves).decode())
            return
        for move in moves:
            self.stdout.write(_move_line(move))
        if not moves:
            self.stdout.write("nothing has moved yet")


def _line(view: CircuitView) -> str:
    notes = [f"{view.failures}/{view.threshold} failures"] if view.threshold else []
    if view.retry_in_s is not None:
        notes.append(f"tried again in {view.retry_in_s:.0f} s")
    if view.by:
        notes.append(f"by {view.by}")
    if view.why:
        notes.append(view.why)
    if view.until is not None:
        notes.append(f"until {datetime.fromtimestamp(view.until, UTC):%H:%M:%S} UTC")
    return f"{view.stage:<6}{view.name:<24}{view.state:<14}{', '.join(notes)}"


def _move_line(move: CircuitMove) -> str:
    notes = [move.why] if move.why else []
    if move.by:
        notes.append(f"by {move.by}")
    if move.until is not None:
        notes.append(f"until {datetime.fromtimestamp(move.until, UTC):%Y-%m-%d %H:%M:%S} UTC")
    if move.lasted_s >= 1 and move.how is not How.FORCED:
        held = move.how is not How.AUTOMATIC
        what = "held for" if held else "was closed for" if move.before == CircuitState.CLOSED else "out of use for"
        notes.append(f"{what} {move.lasted_s:.0f} s")
    states = f"{move.before or '-'} -> {move.after or '-'}"
    at = datetime.fromtimestamp(move.at, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC  {move.circuit:<24}{move.how:<11}{states:<30}{', '.join(notes)}"
