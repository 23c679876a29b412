"""From which pages a browser may open the console's WebSocket: the console's own, and those that are trusted for forms.

Owns the check of the ``Origin`` header. Stricter than Channels' own, which takes any port and scheme of an allowed host:
cookies are sent to every port, so another program on the operators' machine could watch with their login.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

Application = Callable[[dict[str, Any], Any, Any], Awaitable[Any]]


def same_origin(application: Application) -> Application:
    async def checked(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if is_own(scope["headers"]):
            return await application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)

    return checked


def is_own(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whoever sends no origin, or two, is no browser of ours."""
    origins = [value.decode("latin1") for name, value in headers if name == b"origin"]
    hosts = [value.decode("latin1").lower() for name, value in headers if name == b"host"]
    if len(origins) != 1 or len(hosts) != 1:
        return False
    if origins[0] in settings.CSRF_TRUSTED_ORIGINS:
        return True
    domain, _ = split_domain_port(hosts[0])
    origin = urlsplit(origins[0])
    scheme = "https" if settings.LIFELINE_HTTPS else "http"
    return origin.scheme == scheme and origin.netloc.lower() == hosts[0] and validate_host(domain, settings.ALLOWED_HOSTS)
