"""A production start: Django's own check finds nothing, HTTPS works behind a proxy, every page has its headers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/lifeline.rules.yml"
PRODUCTION = {
    "LIFELINE_SECRET_KEY": "k3y-" + "abcdefghij0123456789" * 3, "LIFELINE_HTTPS": "1", "LIFELINE_TRUSTED_PROXY": "1",
    "LIFELINE_ALLOWED_HOSTS": "console.example.org", "DATABASE_URL": "sqlite://:memory:",
}  # fmt: skip
# Answers of the production settings to requests as a proxy passes them on.
ASK = """
import json, django
django.setup()
from django.test import Client
answers = []
for url, more in (("/login/", {}), ("/healthz", {"HTTP_X_FORWARDED_PROTO": "https"}), ("/healthz", {}), ("/metrics", {})):
    answer = Client(HTTP_HOST="console.example.org").get(url, **more)
    answers.append([answer.status_code, dict(answer.headers)])
print(json.dumps(answers))
"""


def production(*command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIFELINE_", "DJANGO_"))}
    (tmp_path / "static").mkdir(exist_ok=True)
    env = {**clean, **PRODUCTION, "LIFELINE_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "console.settings"}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip


def test_the_deployment_check_finds_nothing(tmp_path: Path) -> None:
    done = production("manage.py", "check", "--deploy", "--fail-level", "INFO", tmp_path=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues (0 silenced)" in done.stdout


def test_behind_a_proxy_https_is_known_and_plain_http_is_sent_there_but_for_who_watches_the_console(tmp_path: Path) -> None:
    done = production("-c", ASK, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    (plain, _), (secure, headers), (health, _), (metrics, _) = json.loads(done.stdout.splitlines()[-1])
    assert (plain, secure, health, metrics) == (301, 200, 200, 200)
    assert headers["Strict-Transport-Security"].startswith("max-age=31536000")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "status"), [("/", 200), ("/login/", 302), ("/nothing-here", 404), ("/metrics", 200), ("/admin/", 200), ("/speed/", 200)]
)  # fmt: skip
def test_every_page_has_the_headers_by_which_a_browser_guards_it(url: str, status: int) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    answer = client.get(url)
    assert answer.status_code == status
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "microphone=()" in answer["Permissions-Policy"]
    assert "no-store" in answer["Cache-Control"]
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe-inline" not in policy["script-src"]
    assert ("unsafe-eval" in policy["script-src"]) == url.startswith("/admin/")


def test_no_alert_takes_a_fall_for_a_rise_and_a_lost_caller_pages_whatever_the_date() -> None:
    """All that is exported are gauges, and several begin anew at midnight."""
    rules = {rule["alert"]: rule["expr"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    assert [name for name, expr in rules.items() if re.search(r"\b(increase|i?rate|resets)\(", expr)] == []
    assert set(re.findall(r"lifeline_\w+", rules["LifelineCallerLost"])) == {"lifeline_ai_failures_dropped_ever"}


def test_prometheus_own_tool_finds_that_each_loss_pages_and_nothing_else_does() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool (Debian's package prometheus has it)")
    command = [promtool, "test", "rules", "lifeline.test.yml"]
    done = subprocess.run(command, cwd=RULES.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
