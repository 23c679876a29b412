"""``manage.py prepare_data``: tables, the demonstration flow and the first user, before every start of the stack.

One process for three steps, because each start of Django costs the start of the stack most of a second.
"""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

ADMIN = "admin"


class Command(BaseCommand):
    help = "Migrates the database, loads the demonstration flow and makes the user admin, whatever of it is missing."

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("load_demo_flow")
        self._make_admin(os.environ.get("LIFELINE_RUN_ADMIN_PASSWORD", ""))

    def _make_admin(self, password: str) -> None:
        """A password that was changed in the console stays changed."""
        users = get_user_model().objects
        admin = users.filter(username=ADMIN).first()
        if admin is None:
            if password:
                users.create_superuser(ADMIN, password=password)
                self.stdout.write(f"made the user {ADMIN}")
        elif password and not admin.check_password(password):
            self.stdout.write(f"the password of {ADMIN} was changed since; the one shown at the start is the first one")
