"""What can keep the stack from starting, in words for the person who started it."""

from __future__ import annotations


class StartError(Exception):
    """Nothing was started, or all of it was stopped again. The text names the cause and the fix."""


class RollError(Exception):
    """A rolling restart ended early. The text names the process, what is wrong with it, and what was not restarted."""


class StackAwayError(Exception):
    """No running stack answers in this data folder."""
