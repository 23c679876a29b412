"""What daphne serves: the pages, and one WebSocket for the live page."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
pages = get_asgi_application()  # Before the consumers: they import models, which need the apps loaded.

from django.conf import settings  # noqa: E402

from console.consumers import LiveConsumer  # noqa: E402
from console.logs import configure_logging  # noqa: E402
from console.origins import same_origin  # noqa: E402

# Without it a traceback would show what the variables in it hold, passwords among them.
configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=settings.LIFELINE_PII_IN_LOGS)
application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": same_origin(AuthMiddlewareStack(URLRouter([path("ws/live/", LiveConsumer.as_asgi())]))),
    }
)
