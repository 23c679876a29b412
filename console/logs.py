"""How every process logs: one line a message with fields, personal data blanked unless a setting says otherwise.

Owns the structlog set-up. Fields that begin with ``pii`` carry caller numbers, keys pressed and transcripts. Nobody logs a
secret; should a library's error hold one, it is blanked in the finished line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

import structlog
from structlog.typing import EventDict, WrappedLogger

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
BLANK = "…"
# What is shorter is no secret, and blanking it would make nonsense of the lines.
SHORTEST_SECRET = 6


def configure_logging(level: str, *, show_pii: bool) -> None:
    """Call once at the start of a process. ``level``: one of LEVELS. What logs already (daphne sets itself up first) goes on
    where it went, in our form."""
    number = logging.getLevelNamesMapping()[level]
    mask = masking(os.environ)

    def blank_pii(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if not show_pii:
            for name in event:
                if name.startswith("pii"):
                    event[name] = BLANK
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
            blank_pii,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
            lambda _logger, _method, line: mask(str(line)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    libraries = logging.getLogger()
    libraries.setLevel(max(number, logging.WARNING))
    if not libraries.handlers:
        libraries.addHandler(logging.StreamHandler(sys.stderr))
    for handler in libraries.handlers:
        handler.setFormatter(_Masked("%(levelname)s %(name)s: %(message)s", mask))


def masking(environ: Mapping[str, str]) -> Callable[[str], str]:
    """Blanks every secret that the environment holds: those named so, and the passwords in addresses."""
    found: set[str] = set()
    for name, value in environ.items():
        if name.startswith("LIFELINE_SECRET_") or name == "LIFELINE_MEDIA_SECRET":
            found.add(value)
        elif name == "DATABASE_URL" or (name.startswith("LIFELINE_") and name.endswith("_URL")):
            try:
                password = urlsplit(value).password or ""
            except ValueError:
                continue
            found |= {password, unquote(password)}
    longest_first = sorted((re.escape(secret) for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)
    if not longest_first:
        return lambda text: text
    pattern = re.compile("|".join(longest_first))
    return lambda text: pattern.sub(BLANK, text)


class _Masked(logging.Formatter):
    def __init__(self, form: str, mask: Callable[[str], str]) -> None:
        super().__init__(form)
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))
