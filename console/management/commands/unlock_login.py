"""``manage.py unlock_login``: forget failed logins, so that who was locked out may try again; without a name, list them."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from axes.models import AccessAttempt
from axes.utils import reset
from django.core.management.base import BaseCommand
from django.utils import timezone

from console.models import OperatorAction


class Command(BaseCommand):
    help = "Lets a user, or everybody at an address, log in again after too many wrong passwords. Without either: who failed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", help="user name, as it was typed")
        parser.add_argument("--address", help="the address from which it was tried")

    def handle(self, *args: Any, **options: Any) -> None:
        user, address = options["user"], options["address"]
        if not user and not address:
            self._list()
            return
        # Each for itself: axes would take both together as "this user at this address".
        count = (reset(username=user) if user else 0) + (reset(ip=address) if address else 0)
        for target in filter(None, (user, address)):
            OperatorAction.objects.create(
                user=getpass.getuser()[:150], what="login unlocked", target=target[:200], why="unlock_login", at=timezone.now()
            )
        self.stdout.write(f"Forgotten: {count} rows of failed logins." if count else "There was nothing to forget.")

    def _list(self) -> None:
        attempts = AccessAttempt.objects.order_by("-attempt_time")[:100]
        for attempt in attempts:
            self.stdout.write(
                f"{attempt.attempt_time:%Y-%m-%d %H:%M:%S} {attempt.failures_since_start} failures "
                f"user {attempt.username} address {attempt.ip_address}"
            )
        if not attempts:
            self.stdout.write("Nobody has failed to log in lately.")
