"""How every process logs: one line a message with fields, personal data blanked unless a setting says otherwise.

Owns the structlog set-up. Fields that begin with ``pii`` carry caller numbers, keys pressed and transcripts.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

BLANK = "…"


def configure_logging(level: str, *, show_pii: bool) -> None:
    """Call once at the start of a process. ``level`` is a name of the logging module's, else ValueError."""
    number = logging.getLevelNamesMapping().get(level)
    if number is None:
        raise ValueError(f"LIFELINE_LOG_LEVEL is {level!r}: use DEBUG, INFO, WARNING or ERROR.")

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
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    line = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, format=line)
