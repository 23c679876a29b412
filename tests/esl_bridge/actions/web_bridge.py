"""``python -m tests.esl_bridge.actions.web_bridge URL``: ``manage.py run_bridge`` whose actions are asked of that server."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

import django
import httpx

from esl_bridge.actions.demonstration import Answer, DemonstrationBusiness
from ivr_fallback.actions import Actions

IDEMPOTENCY = "Idempotency-Key"


class WebBusiness:
    ACTIONS: ClassVar[Actions] = DemonstrationBusiness.ACTIONS

    def __init__(self, url: str) -> None:
        self._url = url

    async def perform(self, action: str, slots: Mapping[str, str], key: str, now: datetime) -> Answer:
        async with httpx.AsyncClient() as client:
            answer = await client.post(self._url, json={"action": action, **slots}, headers={IDEMPOTENCY: key})
        answer.raise_for_status()
        said = answer.json()
        return said["outcome"], {name: Decimal(value) for name, value in said["values"].items()}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    from django.core.management import call_command

    from esl_bridge.actions.runner import ActionRunner
    from esl_bridge.management.commands import run_bridge

    url = sys.argv[1]
    run_bridge.ActionRunner = lambda _business: ActionRunner(WebBusiness(url))  # type: ignore[assignment,misc,attr-defined]
    call_command("run_bridge")


if __name__ == "__main__":
    main()
