"""Load the demonstration flow, publish it once, and put its files where the switch finds them. Harmless to repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from callflows import demo, last_resort, publishing, store
from callflows.errors import CallflowsError
from espeak.errors import SpeechError


class Command(BaseCommand):
    help = "Load and publish the demonstration flow. One that exists is left as it is; missing files are written again."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            flow, created = demo.ensure_draft()
        except IntegrityError as error:
            raise CommandError("The demonstration flow takes every number (*), and another flow has that already.") from error
        version = publishing.latest_version(flow)
        if version is None:
            try:
                version = publishing.publish(flow, note="The demonstration flow", warn=self.stderr.write)
            except (CallflowsError, SpeechError) as error:
                if created:  # Its number would be in the way of a flow of one's own.
                    flow.delete()
                raise CommandError(f"The demonstration flow cannot be published: {error}") from error
            created = True
        else:
            snapshot, _ = store.export(Path(settings.LIFELINE_PROMPT_DIR), Path(settings.LIFELINE_FLOW_SNAPSHOT))
            last_resort.write_or_say_why_not(snapshot)
        state = "published as" if created else "already there:"
        self.stdout.write(f"Demonstration flow {state} version {version.number}.")
