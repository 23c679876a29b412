"""``manage.py prepare_data``: tables, a first user where there is none, and the flows' files, before every start of the stack.

Only a demonstration gets the demonstration flow: it takes every number, and a version that is published stays. One process
for all of it, because each start of Django costs the start of the stack most of a second.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from callflows import last_resort, store

ADMIN = "admin"
NO_FLOW = "no flow is published: callers hear the tones of the switch's last resort. Publish one in the admin, under Flows."


class Command(BaseCommand):
    help = "Migrates the database, makes the user admin where there is no user, and writes what published flows' files are missing."

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        self._make_admin(os.environ.get("LIFELINE_RUN_ADMIN_PASSWORD", ""))
        if settings.LIFELINE_DEMO:
            self._load_demonstration()
        else:
            self._write_files()

    def _load_demonstration(self) -> None:
        """A business of somebody's own does not carry out its actions: no reason not to start."""
        try:
            call_command("load_demo_flow", stdout=self.stdout)
        except CommandError as error:
            self.stderr.write(f"{error} Everything else starts. LIFELINE_DEMO=false leaves that flow out.")
            self._write_files()

    def _write_files(self) -> None:
        prompt_dir = Path(settings.LIFELINE_PROMPT_DIR)
        try:
            snapshot, _ = store.export(prompt_dir, Path(settings.LIFELINE_FLOW_SNAPSHOT))
        except OSError as error:
            raise CommandError(f"{error.filename or prompt_dir} cannot be written: {error.strerror}") from error
        if snapshot.flows:
            last_resort.write_or_say_why_not(snapshot)
        else:
            self.stdout.write(NO_FLOW)

    def _make_admin(self, password: str) -> None:
        """Where there is no user at all: one that was deleted, renamed or disabled stays so, and a changed password changed.

        An installation that has lost its superusers is not given one whose password stands in the log of every start.
        """
        users = get_user_model().objects
        if not password:
            return
        admin = users.filter(username=ADMIN).first()
        if not users.exists():
            users.create_superuser(ADMIN, password=password)
            self.stdout.write(f"made the user {ADMIN}")
        elif admin is None:
            self.stdout.write(f"there is no user {ADMIN} any more, and none is made; manage.py createsuperuser makes another")
        elif not admin.check_password(password):
            self.stdout.write(f"the password of {ADMIN} was changed since; the one shown at the start is the first one")
