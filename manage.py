#!/usr/bin/env python3
"""Django's command line for every Lifeline process."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.core.management.base import BaseCommand


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    # What is loaded now stays: to look through it again and again for what may go is a fifth of a bridge's start.
    gc.disable()
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import ManagementUtility

    class Utility(ManagementUtility):
        def fetch_command(self, subcommand: str) -> BaseCommand:
            try:
                return super().fetch_command(subcommand)
            finally:
                gc.freeze()
                gc.enable()

    try:
        Utility(sys.argv).execute()
    except ImproperlyConfigured as error:  # a wrong setting: its one line says which, and a traceback would hide it
        raise SystemExit(f"lifeline: {error}") from None


if __name__ == "__main__":
    main()
