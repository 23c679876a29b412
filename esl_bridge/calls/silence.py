"""How long a caller who has spoken hears nothing. Pure; seconds of the monotonic clock in, milliseconds out."""

from __future__ import annotations


class Silence:
    """Of one turn, also beyond it: where that fails, it lasts until the menu is heard, if nothing of the reply was before."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self.ms: float | None = None
        """None: nobody has spoken, it still lasts, or it was the caller's own."""

    def begin(self, now: float) -> None:
        """The caller has spoken."""
        self._began_at = now

    def end(self, now: float) -> None:
        """They hear something, whatever it is; or they have gone, and hear nothing any more. Later sounds change nothing."""
        if self._began_at is not None:
            self.ms = max(0.0, now - self._began_at) * 1000
            self._began_at = None

    def put_on_hold(self) -> None:
        """From here on the caller's own telephone keeps us from being heard: how long we would have been silent is not known."""
        self._began_at = None
