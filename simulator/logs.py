"""How the simulator's own processes log: one line a message to stderr, personal data blanked unless asked for.

The same form as the console's processes, which the simulator may not import.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

_BLANK = "…"


def configure_logging(level: str, *, show_pii: bool) -> None:
    """Once at the start of a process. Raises ValueError for a level that does not exist."""
    number = logging.getLevelNamesMapping().get(level)
    if number is None:
        raise ValueError(f"the log level is {level!r}: use DEBUG, INFO, WARNING or ERROR")

    def blank_pii(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if not show_pii:
            for name in event:
                if name.startswith("pii"):
                    event[name] = _BLANK
        return event

    structlog.configure(
        processors=[
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
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr)
