#!/usr/bin/env python3
"""Django's command line for every Lifeline process."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # a wrong setting: its one line says which, and a traceback would hide it
        raise SystemExit(f"lifeline: {error}") from None


if __name__ == "__main__":
    main()
