"""How a bridge that is asked to stop parts from its calls: most finish, the rest go back to the dialplan one after the other.

Owns the pace. Given back all at once, 500 calls came to two other bridges in the same moment, and the last of their callers
heard nothing for 14 s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Protocol

# To whoever takes it, and to the switch, each is the work of a new call: two or three milliseconds of a core for both.
GIVEN_BACK_A_SECOND = 50.0


class Parting(Protocol):
    @property
    def is_over(self) -> bool:
        """Nobody waits for it: its call has ended, or is another bridge's, and only the socket is still there."""

    def close(self) -> None: ...


def until_one_goes_s(calls: int, left_s: float) -> float:
    """How long the next of ``calls`` may still stay, so that the last has gone in ``left_s``: at the pace above or, where there is
    no time for that, at equal distances.
    """
    left_s = max(0.0, left_s)
    return max(left_s - (calls - 1) / GIVEN_BACK_A_SECOND, left_s / calls)


async def part_from(sessions: Collection[Parting], idle: asyncio.Event, limit_s: float, now: Callable[[], float]) -> None:
    """Returns when all have finished, or after ``limit_s``, with none left. ``sessions`` are those that are there, and change
    meanwhile; ``idle`` is set when there is none.

    A socket whose call another bridge has stays to the end: closing it would take the call away from there once more.
    """

    def is_call(session: Parting) -> bool:
        return session in sessions and not session.is_over

    until = now() + limit_s
    given_back: set[Parting] = set()
    while (left_s := until - now()) > 0:
        going = [session for session in sessions if is_call(session) and session not in given_back]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until_one_goes_s(len(going), left_s) if going else left_s):
                await idle.wait()
                return
        session = next(filter(is_call, going), None)  # others have ended meanwhile
        if session is not None:
            given_back.add(session)
            session.close()
    for session in set(sessions) - given_back:
        session.close()
