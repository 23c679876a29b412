"""Console and Celery log as every other process does: no secret, no personal data, nothing below the level."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import ROOT

LOCAL, IN_TEXT, CALLER = "l0cal-5ecret", "t3xt-5ecret", "+441632960217"
# What each does at its start. Daphne sets logging up for itself before it loads what it serves.
STARTS = {
    "console": "logging.basicConfig(level=logging.INFO); import console.asgi",
    "celery": "from console.celery import app; app.log.setup(loglevel='INFO', redirect_stdouts=True)",
}
PROGRAM = """
import logging, os
{start}
import structlog

def broken():
    password = os.environ["LOCAL"]
    raise RuntimeError("no connection to " + os.environ["LIFELINE_REDIS_DURABLE_URL"])

log = structlog.get_logger("console.live")
try:
    broken()
except RuntimeError:
    log.exception("live_page_not_rendered", pii_caller=os.environ["CALLER"])
    logging.getLogger("django.request").exception("Internal Server Error")
log.warning("a warning")
logging.getLogger("redis").warning("a library's warning")
log.info("an info")
"""


def said(process: str, folder: Path, **settings: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIFELINE_", "DJANGO_", "DATABASE_URL"))}
    environment = {
        **clean, "LIFELINE_DEMO": "true", "LIFELINE_DATA_DIR": str(folder), "LOCAL": LOCAL, "CALLER": CALLER,
        "LIFELINE_REDIS_DURABLE_URL": f"redis://:{IN_TEXT}@127.0.0.1:1/0", **settings,
    }  # fmt: skip
    command = [sys.executable, "-c", PROGRAM.format(start=STARTS[process])]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return found.stdout + found.stderr


@pytest.mark.parametrize("process", STARTS)
def test_an_exception_is_logged_without_the_secrets_in_its_variables_and_its_text(process: str, tmp_path: Path) -> None:
    text = said(process, tmp_path)
    assert "live_page_not_rendered" in text
    assert "Internal Server Error" in text
    assert text.count("RuntimeError: no connection to redis://:…@127.0.0.1:1/0") == 2
    for secret in (LOCAL, IN_TEXT, CALLER):
        assert secret not in text


@pytest.mark.parametrize("process", STARTS)
def test_the_level_and_what_may_be_seen_are_those_of_the_settings(process: str, tmp_path: Path) -> None:
    text = said(process, tmp_path)
    assert "a warning" in text
    assert "a library's warning" in text
    assert "an info" in text
    text = said(process, tmp_path, LIFELINE_LOG_LEVEL="error", LIFELINE_PII_IN_LOGS="true")
    assert "live_page_not_rendered" in text
    assert CALLER in text
    assert "warning" not in text
    assert "an info" not in text
