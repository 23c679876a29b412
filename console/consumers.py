"""The live page's WebSocket: who may watch, and nothing else; what they see is ``console/live.py``'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import get_user_model

from console.live import coalescer
from console.regions import Sight, sight_of

NOT_ALLOWED = 4403
"""Close code: log in again (an own code, 4000 to 4999, because the browser hides the HTTP status of a refusal)."""


class LiveConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        sight = await self.sight()
        if sight is not None:
            await coalescer.join(self, sight)

    async def sight(self) -> Sight | None:
        """Asked when it connects and now and then: closes when this user may not watch, or not any more."""
        sight = await database_sync_to_async(_sight_now)(self.scope)
        if sight is None:
            await self.close(code=NOT_ALLOWED)
        return sight

    async def disconnect(self, code: int) -> None:
        await coalescer.leave(self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **_: Any) -> None:
        """The page has nothing to say here: orders are POST requests, with their CSRF token."""

    async def show(self, text: str) -> None:
        await self.send(text_data=text)


def _sight_now(scope: Mapping[str, Any]) -> Sight | None:
    """From the database: the scope's user and session are those of the moment of connecting."""
    session = scope["session"]
    user = get_user_model().objects.filter(pk=scope["user"].pk).first()
    if user is None or not session.session_key or not session.exists(session.session_key):
        return None
    return sight_of(user)
