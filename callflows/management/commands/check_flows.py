"""Say whether every published flow can be served from this machine: its audio files, and parity with the keypad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from callflows import actions, store
from callflows.definition.files import missing_files
from callflows.definition.flow import FlowVersion
from ivr_fallback import parity


class Command(BaseCommand):
    help = (
        "Check every flow that is in use: all its audio files are in the prompt folder, and the keypad can do it all."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        prompt_dir = Path(settings.LIFELINE_PROMPT_DIR)
        flows = store.database_snapshot().flows
        if not flows:
            raise CommandError("No flow is published, so every call would go to a person: publish one in the admin.")
        faulty = [flow for flow in flows if not self._is_whole(flow, prompt_dir)]
        if faulty:
            raise CommandError(f"{len(faulty)} of {len(flows)} versions cannot be served whole.")

    def _is_whole(self, flow: FlowVersion, prompt_dir: Path) -> bool:
        missing = missing_files(flow, prompt_dir)
        problems = [str(problem) for problem in parity.problems(flow, actions=actions.declared())]
        title = f"{flow.name}, version {flow.number}"
        if not missing and not problems:
            self.stdout.write(f"{title}: all {len(flow.files())} files are there.")
            return True
        self.stderr.write(f"{title}:")
        for line in (*missing, *problems):
            self.stderr.write(f"  {line}")
        if missing:
            self.stderr.write(f"  Write them with `manage.py sync_switch` (into {prompt_dir}).")
        return False
