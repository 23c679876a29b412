"""``manage.py stack``: what the running stack's processes do; hold, release and restart them by hand."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console.launcher.errors import StackAwayError
from console.launcher.remote import ACTIONS, ask


class Command(BaseCommand):
    help = "status; hold NAME (kill -9, and keep it down); release NAME; restart NAME."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=ACTIONS)
        parser.add_argument("name", nargs="?", default="")
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *args: Any, **options: Any) -> None:
        action, name = options["action"], options["name"]
        if (action == "status") == bool(name):
            raise CommandError(f"use: stack status, or stack {action if action != 'status' else 'hold'} NAME")
        try:
            answer = ask(settings.LIFELINE_RUN_SOCKET, action, name)
        except (StackAwayError, ValueError) as error:
            raise CommandError(str(error)) from error
        if options["as_json"]:
            self.stdout.write(json.dumps(answer))
        elif action == "status":
            for process in answer["processes"]:
                self.stdout.write(describe(process))


def describe(process: dict[str, Any]) -> str:
    """One line of ``stack status``."""
    running = f"pid {process['pid']}, up {process['up_s']:.0f} s" if process["pid"] else ""
    again = f"started again {process['restarts']} times" if process["restarts"] else ""
    ended = f"last exit {process['last_exit']}" if process["last_exit"] is not None else ""
    return f"{process['name']:15} {process['state']:8} {', '.join(filter(None, (running, again, ended)))}".rstrip()
