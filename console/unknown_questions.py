"""Switches that do not know a question: an older FreeSWITCH, or a demonstration's simulator of before an upgrade.

Owns saying so, once: nothing follows from it for calls, and the switch will not know it a minute later either.
"""

from __future__ import annotations

from functools import cache

import structlog

log = structlog.get_logger(__name__)


@cache
def say_once(switch: str, answer: str) -> None:
    """Once a process for the same answer."""
    log.debug("switch_does_not_know_question", switch=switch, answer=answer)
