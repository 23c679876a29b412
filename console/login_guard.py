"""Guessing passwords is slow: who is locked out after how many failures, what they read, and what is kept of it.

Owns our side of django-axes, which counts failed attempts in the database and asks it only when somebody logs in. Unlocking
is ``manage.py unlock_login``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from console.models import OperatorAction

log = structlog.get_logger(__name__)

# A person mistypes three or four times; 40 guesses an hour come nowhere.
FAILURES_BY_NAME = 10
# A whole floor of operators may be behind one address.
FAILURES_BY_ADDRESS = 50
LOCKED_MINUTES = 15
TOO_MANY_REQUESTS = 429


class LoginLimits(AxesDatabaseHandler):
    """Two limits where axes has one: what an address has failed counts in proportion."""

    def get_failures(self, request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> int:
        """In failures by name. Relies on ``AXES_LOCKOUT_PARAMETERS`` being the name, then the address."""
        counted = self.get_user_attempts(request, credentials)
        by_name, by_address = (sum(rows.values_list("failures_since_start", flat=True)) for rows in counted)
        return max(by_name, by_address * FAILURES_BY_NAME // FAILURES_BY_ADDRESS)


def client_address(request: HttpRequest) -> str:
    """Behind a proxy, what the proxy nearest to us wrote: it comes last, and no browser can write there."""
    nearest = str(request.META.get("REMOTE_ADDR", ""))
    if settings.LIFELINE_TRUSTED_PROXY:
        forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", ""))
        return forwarded.rpartition(",")[2].strip() or nearest
    return nearest


def locked_out(request: HttpRequest, _original: HttpResponse, credentials: Mapping[str, Any] | None) -> HttpResponse:
    """Asked for at each attempt while the door is shut; only the one that shut it is kept (axes has counted that one)."""
    if getattr(request, "axes_failures_since_start", None) is not None:
        _remember(request, str((credentials or {}).get("username", "")))
    context = {"form": AuthenticationForm(request), "locked_minutes": LOCKED_MINUTES}
    answer = render(request, "registration/login.html", context, status=TOO_MANY_REQUESTS)
    answer["Retry-After"] = str(LOCKED_MINUTES * 60)
    return answer


def _remember(request: HttpRequest, name: str) -> None:
    address = client_address(request)
    log.warning("a login was locked", user=name[:150], address=address, minutes=LOCKED_MINUTES)
    OperatorAction.objects.create(
        user=name[:150], what="login locked", target=address[:200], why="too many wrong passwords", at=timezone.now()
    )
