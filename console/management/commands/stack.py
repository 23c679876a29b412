"""``manage.py stack``: what the running stack's processes do; hold, release and restart them by hand, or roll all of them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console.launcher.errors import RollError, StackAwayError
from console.launcher.remote import ask, restart
from console.launcher.rolling import roll

ALONE = ("status", "roll")
NAMED = ("hold", "release", "restart")


class Command(BaseCommand):
    help = "status; hold NAME (kill -9, and keep it down); release NAME; restart NAME; roll (restart all, one after the other)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=(*ALONE, *NAMED))
        parser.add_argument("name", nargs="?", default="")
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *args: Any, **options: Any) -> None:
        action, name = options["action"], options["name"]
        if (action in ALONE) == bool(name):
            raise CommandError(f"use: stack {action}{'' if action in ALONE else ' NAME'}")
        try:
            answer = self._do(settings.LIFELINE_RUN_SOCKET, action, name)
        except (StackAwayError, RollError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["as_json"]:
            self.stdout.write(json.dumps(answer))
        elif action == "status":
            for process in answer["processes"]:
                self.stdout.write(describe(process))

    def _do(self, path: str, action: str, name: str) -> dict[str, Any]:
        if action == "roll":
            roll(path, self._say)
            return {"done": True}
        if action == "restart":
            restart(path, name)
            return {"done": True}
        return ask(path, action, name)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def describe(process: dict[str, Any]) -> str:
    """One line of ``stack status``."""
    running = f"pid {process['pid']}, up {process['up_s']:.0f} s" if process["pid"] else ""
    again = f"started again {process['restarts']} times" if process["restarts"] else ""
    ended = f"last exit {process['last_exit']}" if process["last_exit"] is not None else ""
    return f"{process['name']:15} {process['state']:8} {', '.join(filter(None, (running, again, ended)))}".rstrip()
