"""What can go wrong with a drill's order; the texts are for the operator who gave it."""

from __future__ import annotations

from ai_engine.errors import AiError


class DrillError(AiError):
    """The root of this package's errors."""


class BadDrillError(DrillError):
    """Such a drill cannot be: the message says what is wrong with it."""


class DrillRunningError(DrillError):
    """Another one is under way; there is one at a time."""


class DrillsUnreachableError(DrillError):
    """The durable Redis does not answer, so nobody can say whether a drill began or ended."""
