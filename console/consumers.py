"""The live page's WebSocket: who may watch, and nothing else; what they see is ``console/live.py``'s."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.backends.base import SessionBase
from django.utils.crypto import constant_time_compare

from console.live import coalescer
from console.regions import Sight, sight_of

NOT_ALLOWED = 4403
"""Close code: log in again (an own code, 4000 to 4999, because the browser hides the HTTP status of a refusal)."""


class LiveConsumer(AsyncWebsocketConsumer):
    # None of that name: with the default one, channels asks its Redis before it connects, and nobody could watch without it.
    channel_layer_alias = "none"

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
    session: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore(scope["session"].session_key)
    user = get_user_model().objects.filter(pk=scope["user"].pk).first()
    # One that has expired is read as empty.
    if user is None or session.get(SESSION_KEY) != str(user.pk) or not _is_of_this_password(session, user):
        return None
    return sight_of(user)


def _is_of_this_password(session: SessionBase, user: AbstractUser) -> bool:
    """As ``django.contrib.auth.get_user`` tells, which would also give the session another key: no socket can hand that on."""
    kept = session.get(HASH_SESSION_KEY, "")
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(kept, one) for one in hashes)
