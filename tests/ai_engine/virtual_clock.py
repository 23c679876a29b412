"""An event loop whose time jumps to the next timer, so that tests of waiting take no time and are exact.

Only for code without sockets, processes and threads: what a selector would wait for is never waited for.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# No real clock stands still: a timer that is due a rounding error from now would be set again for ever.
TICK_S = 1e-6


class _Jumping(selectors.SelectSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits and no timer runs: a deadlock"
        self.now_s += max(0.0, timeout) + TICK_S
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def stand_still(self, seconds: float) -> None:
        """Time passes and nothing runs, as where something blocks the loop."""
        self._jumping.now_s += seconds


class LoopTime:
    """In place of the module ``time``, for code that reads clocks itself."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    perf_counter = monotonic


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def jumping(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """A test that runs in such a loop."""

    @functools.wraps(test)
    def in_the_loop(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(test(*args, **kwargs))

    return in_the_loop
