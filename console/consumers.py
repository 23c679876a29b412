"""The live page's WebSocket: who may watch, and nothing else; what they see is ``console/live.py``'s."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from console.live import coalescer
from console.regions import sight_of

NOT_ALLOWED = 4403
"""Close code: log in again (an own code, 4000 to 4999, because the browser hides the HTTP status of a refusal)."""


class LiveConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        sight = await database_sync_to_async(sight_of)(self.scope["user"])
        await self.accept()
        if sight is None:
            await self.close(code=NOT_ALLOWED)
        else:
            await coalescer.join(self, sight)

    async def disconnect(self, code: int) -> None:
        await coalescer.leave(self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **_: Any) -> None:
        """The page has nothing to say here: orders are POST requests, with their CSRF token."""

    async def show(self, text: str) -> None:
        await self.send(text_data=text)
