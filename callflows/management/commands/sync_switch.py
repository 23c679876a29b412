"""Bring a switch's own disk up to date: the prompts, their manifest, the snapshot, and the dialplan of last resort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from callflows import store


class Command(BaseCommand):
    help = "Write the prompts that a switch's folder lacks, the snapshot of published flows, and the dialplan of last resort."

    def handle(self, *args: Any, **options: Any) -> None:
        prompt_dir, snapshot_path = Path(settings.LIFELINE_PROMPT_DIR), Path(settings.LIFELINE_FLOW_SNAPSHOT)
        try:
            snapshot, written = store.export(prompt_dir, snapshot_path)
        except OSError as error:
            raise CommandError(f"{error.filename or prompt_dir} cannot be written: {error.strerror}") from error
        self.stdout.write(f"{written} prompts written to {prompt_dir}; {len(snapshot.flows)} versions in {snapshot_path}.")
        if snapshot.flows:
            call_command("render_dialplan", stdout=self.stdout, stderr=self.stderr)
