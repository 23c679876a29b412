"""Runs actions for calls: each with a time limit, each once per key, none able to hurt another call."""

from __future__ import annotations

import asyncio
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


class Business(Protocol):
    """Acts once for each ``key``: asked again with it, the answer is the first one. Raises KeyError for an unknown action.

    ``ACTIONS`` declares them all. Flows are held to it before they are published: an outcome or a value that is not in it has no
    words, and the caller hears that it could not be done. The setting LIFELINE_BUSINESS names the class.
    """

    ACTIONS: ClassVar[Actions]

    async def perform(self, action: str, slots: Mapping[str, str], key: str, now: datetime) -> Answer: ...


class ActionRunner:
    """``run`` never raises: what goes wrong is an :class:`ActionFailed` with its kind."""

    def __init__(self, business: Business | None = None) -> None:
        self._business = business or DemonstrationBusiness()

    async def run(self, action: str, slots: Mapping[str, str], key: str) -> ActionDone | ActionFailed:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                outcome, values = await self._business.perform(action, slots, key, datetime.now().astimezone())
        except TimeoutError:
            return ActionFailed(key, "timeout")
        except KeyError:
            log.error("a flow names an action that does not exist", action=action)
            return ActionFailed(key, "unknown_action")
        except Exception:
            log.exception("an action failed", action=action)
            return ActionFailed(key, "error")
        return ActionDone(key, outcome, values)
