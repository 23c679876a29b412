"""Make the dialplan of last resort from the published flows, or only check the one that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from callflows import last_resort, store
from callflows.errors import LastResortRefusedError


class Command(BaseCommand):
    help = "Write the dialplan of last resort, which serves callers when no bridge does. The last good one stays on failure."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; say whether the file is whole and up to date")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.LIFELINE_LAST_RESORT_DIALPLAN)
        snapshot = store.database_snapshot()
        if not snapshot.flows:
            raise CommandError("No flow is published, so there is no menu to make a dialplan of: publish one in the admin.")
        try:
            if options["check"]:
                self._check(path, last_resort.look(path), last_resort.made_of(snapshot, last_resort.place()))
                return
            found = last_resort.write(snapshot, path, last_resort.place())
        except LastResortRefusedError as error:
            for problem in error.problems:
                self.stderr.write(problem)
            raise CommandError(f"{path} was not written, and is as it was.") from error
        except OSError as error:
            raise CommandError(f"{error.filename or path}: {error.strerror}") from error
        flows = ", ".join(f"{slug} {number}" for slug, number in found.versions.items())
        self.stdout.write(
            f"{path} has the menus of {flows} with {found.files} sound files. Have FreeSWITCH read it: fs_cli -x reloadxml"
        )

    def _check(self, path: Path, found: last_resort.Rendering | None, wanted: str) -> None:
        if found is None:
            raise CommandError(f"{path} is not there: render it.")
        for problem in (*found.problems, *found.missing):
            self.stderr.write(problem)
        if found.problems or found.missing:
            raise CommandError(f"{path} cannot be trusted: render it again.")
        if path.read_text(encoding="utf-8") != wanted:
            raise CommandError(f"{path} is another than the published flows make: render it again.")
        self.stdout.write(f"{path} is what the published flows make, rendered {found.rendered_at:%Y-%m-%d %H:%M} UTC.")
