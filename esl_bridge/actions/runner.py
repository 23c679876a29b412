"""Runs actions for calls: each with a time limit, each once per key, none able to hurt another call."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Protocol

import structlog

from esl_bridge.actions.demonstration import Answer, DemonstrationBusiness
from esl_bridge.calls.inputs import ActionDone, ActionFailed
from ivr_fallback.actions import Actions

log = structlog.get_logger(__name__)

# A caller waits in silence meanwhile; longer than this and a person serves them better.
TIMEOUT_S = 3.0
# Of a traceback, the innermost; one of an endless recursion has a thousand.
FRAMES_MOST = 20


class Business(Protocol):
    """Acts once for each ``key``: asked again with it, the answer is the first one. It is asked only for what ``ACTIONS`` names.

    ``ACTIONS`` declares them all. Flows are held to it before they are published: an outcome or a value that is not in it has no
    words, and the caller hears that it could not be done. The setting LIFELINE_BUSINESS names the class.
    """

    ACTIONS: ClassVar[Actions]

    async def perform(self, action: str, slots: Mapping[str, str], key: str, now: datetime) -> Answer: ...


class ActionRunner:
    def __init__(self, business: Business | None = None) -> None:
        self._business = business or DemonstrationBusiness()

    async def run(self, action: str, slots: Mapping[str, str], key: str) -> ActionDone | ActionFailed:
        """What comes of it within ``TIMEOUT_S``. Never raises: what goes wrong is an :class:`ActionFailed` with its kind, after
        ``unknown_action`` nothing was done, after ``timeout`` and ``error`` it may have been. Cancelling it cancels the action.
        """
        if action not in self._business.ACTIONS:
            log.error("a flow names an action that does not exist", action=action)
            return ActionFailed(key, "unknown_action")
        work = asyncio.create_task(self._perform(action, slots, key))
        # Of one that comes too late nobody reads it, and asyncio would print it.
        work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            in_time, _ = await asyncio.wait({work}, timeout=TIMEOUT_S)
        finally:
            work.cancel()
        if not in_time:
            return ActionFailed(key, "timeout")
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if error is None:
            return work.result()
        if isinstance(error, TimeoutError):
            return ActionFailed(key, "timeout")
        log.error("an action failed", action=action, error=type(error).__qualname__, raised_at=_frames(error))
        return ActionFailed(key, "error")

    async def _perform(self, action: str, slots: Mapping[str, str], key: str) -> ActionDone:
        answer: object = await self._business.perform(action, slots, key, datetime.now().astimezone())
        match answer:
            case (str() as outcome, Mapping() as values):
                return ActionDone(key, outcome, values)
        raise TypeError("an action's answer is its outcome and its values")


def _frames(error: BaseException) -> list[str]:
    """Places only: an error's own words may hold what the caller said, as an address with their account number."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return places[-FRAMES_MOST:]
