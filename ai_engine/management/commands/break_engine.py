"""``manage.py break_engine``: make the local engine misbehave, or mend it, in demonstration mode."""

from __future__ import annotations

from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ai_engine.engines.config import Stage
from ai_engine.local.faults import Mode, set_fault


class Command(BaseCommand):
    help = "Break the local engine in one way, all of it or one stage; none mends it. Only with LIFELINE_DEMO."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("mode", choices=[mode.value for mode in Mode])
        parser.add_argument("--stage", choices=[stage.value for stage in Stage], help="only this one; without it, all")
        parser.add_argument("--seconds", type=float, help="mended by itself after so many seconds")

    def handle(self, *args: object, **options: object) -> None:
        if not settings.LIFELINE_DEMO:
            raise CommandError("LIFELINE_DEMO is not set: engines are broken on purpose in demonstration mode only.")
        mode, seconds = Mode(str(options["mode"])), options["seconds"]
        stage = None if options["stage"] is None else Stage(str(options["stage"]))
        limit_s = seconds if isinstance(seconds, float) else None
        try:
            set_fault(mode, stage, limit_s, folder=settings.LIFELINE_DATA_DIR)
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        if mode is Mode.NONE:
            self.stdout.write("The local engine is mended.")
            return
        what = "stt, nlu and tts" if stage is None else stage.value
        how_long = "until it is mended (break_engine none)" if limit_s is None else f"for {limit_s:g} s"
        self.stdout.write(f"The local engine breaks: {mode.value} in {what}, {how_long}.")
