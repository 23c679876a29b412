"""Secrets stay where they are: a marker in every setting that may hold one is in no log, no page, no metric and no refusal.

The processes run with everything failing at once: a Redis that refuses the password, one that is not there, no engine, no switch.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from ai_engine.models import Engine
from callflows.definition.flow import encode_snapshot
from console import regions
from console.logs import masking
from tests.ai_engine.flows import demo_snapshot
from tests.redis_server import BINARY

ROOT = Path(__file__).resolve().parents[1]
MARKER = "mArKeR-5ecret"
# Six processes start at once, on a machine that is busy with other tests.
LIMIT_S = 90.0
ENGINES = """[{"name": "e-%s", "stage": "%s", "kind": "%s", "url": "%s://127.0.0.1:%d", "model": "m", "voice": "v",
  "secret": "LIFELINE_SECRET_ENGINE"}]"""

MAKE_SESSION = """
import django
django.setup()
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
call_command("migrate", verbosity=0)
user = User.objects.create_superuser("anna")
session = SessionStore()
session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session.create()
print(session.session_key)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def locked_redis(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis with another password than the one it is asked with."""
    port = free_port()
    command = [str(BINARY), "--port", str(port), "--requirepass", "another", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                with redis.Redis(port=port, password="another") as client:
                    client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield port
    finally:
        server.kill()
        server.wait()


def marked(folder: Path, locked_port: int) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIFELINE_", "DJANGO_", "DATABASE_URL"))}
    nobody = free_port()
    names = ["LIFELINE_SECRET_KEY", "LIFELINE_MEDIA_SECRET", "LIFELINE_SECRET_SWITCH_PASSWORD", "LIFELINE_SECRET_ENGINE"]
    stages = (("stt", "vosk", "ws"), ("nlu", "openai", "http"), ("tts", "openai", "http"))
    engines = ",".join((ENGINES % (stage, stage, kind, scheme, nobody)).strip("[]") for stage, kind, scheme in stages)
    (folder / "static").mkdir()
    return {
        **clean,
        **{name: f"{MARKER}-{name}-{'x' * 30}" for name in names},
        "DJANGO_SETTINGS_MODULE": "console.settings", "LIFELINE_DATA_DIR": str(folder), "LIFELINE_LOG_LEVEL": "DEBUG",
        "LIFELINE_ENGINES": f"[{engines}]",
        "LIFELINE_REDIS_DURABLE_URL": f"redis://:{MARKER}-durable@127.0.0.1:{locked_port}/0",
        "LIFELINE_REDIS_VOLATILE_URL": f"redis://user:{MARKER}-volatile@127.0.0.1:{nobody}/0",
        "LIFELINE_SWITCH_PORT": str(nobody), "LIFELINE_ESL_PORT": str(free_port()), "LIFELINE_MEDIA_PORT": str(free_port()),
    }  # fmt: skip


def test_no_process_logs_a_secret_while_everything_fails(tmp_path: Path, locked_redis: int) -> None:
    env = marked(tmp_path, locked_redis)
    console_port = free_port()
    celery = ["-m", "celery", "-A", "console.celery", "worker", "--pool", "solo", "--loglevel", "INFO"]
    commands = {
        "bridge": ["manage.py", "run_bridge"], "gateway": ["manage.py", "run_media_gateway"],
        "worker": ["manage.py", "run_ai_worker"], "recorder": ["manage.py", "run_recorder"],
        "celery": [*celery, "--without-mingle", "--without-gossip"],
        "console": ["-m", "daphne", "-b", "127.0.0.1", "-p", str(console_port), "console.asgi:application"],
    }  # fmt: skip
    # What each says of its trouble, whichever comes; the console's comes with a viewer.
    trouble = dict.fromkeys(commands, (b"username-password", b"WRONGPASS", b"Connection refused", b"Connect call failed"))
    made = subprocess.run([sys.executable, "-c", MAKE_SESSION], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    session = made.stdout.strip()
    running: dict[str, subprocess.Popen[bytes]] = {}
    opened = contextlib.ExitStack()
    try:
        for name, command in commands.items():
            with (tmp_path / f"{name}.log").open("wb") as log:
                running[name] = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + LIMIT_S
        pages, asked = b"", False
        waiting = set(commands)
        while waiting:
            assert time.monotonic() < deadline, f"these have said nothing of their trouble: {waiting}"
            time.sleep(0.1)
            if not asked and (found := _pages(console_port, session)):
                pages, asked = found, True
                watched = opened.enter_context(_watch(console_port, session))
                pages += str(watched.recv(timeout=LIMIT_S)).encode()
            waiting -= {name for name in waiting if any(word in _log(tmp_path, name) for word in trouble[name])}
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        opened.close()
    for name in commands:
        assert MARKER.encode() not in _log(tmp_path, name), _lines_with_marker(_log(tmp_path, name))
    assert b"Redis does not answer" in pages
    assert MARKER.encode() not in pages


def _log(folder: Path, name: str) -> bytes:
    return (folder / f"{name}.log").read_bytes()


def _lines_with_marker(log: bytes) -> list[bytes]:
    return [line for line in log.splitlines() if MARKER.encode() in line][:5]


def _pages(port: int, session: str) -> bytes:
    """Nothing while it does not listen yet."""
    found = b""
    for path in ("/healthz", "/metrics", "/", "/calls/", "/switches/main/channels/", "/admin/", "/not-there"):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Cookie": f"sessionid={session}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found += answer.read()
        except urllib.error.HTTPError as error:
            found += error.read()
        except OSError:
            return b""
    return found


def _watch(port: int, session: str) -> ClientConnection:
    """A live page connects without any Redis, and the console says in its log what it misses."""
    headers = {"Cookie": f"sessionid={session}"}
    place = f"127.0.0.1:{port}"
    return connect(f"ws://{place}/ws/live/", origin=Origin(f"http://{place}"), additional_headers=headers, proxy=None)


@pytest.fixture
def admin(db: None, settings: Any, tmp_path: Path) -> Client:
    settings.LIFELINE_REDIS_DURABLE_URL = f"redis://:{MARKER}@127.0.0.1:{free_port()}/0"
    settings.LIFELINE_REDIS_VOLATILE_URL = settings.CELERY_BROKER_URL = settings.LIFELINE_REDIS_DURABLE_URL
    settings.LIFELINE_SWITCH_PASSWORD = MARKER
    settings.LIFELINE_ENGINES, settings.LIFELINE_ENGINE_HOSTS = "", []
    settings.LIFELINE_ENGINE_SNAPSHOT = tmp_path / "engines.json"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_FLOW_SNAPSHOT.write_bytes(encode_snapshot(demo_snapshot()))
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("anna"))
    return client


PAGES = ["/", "/calls/", "/incidents/", "/circuits/moves/", "/speed/", "/switches/main/channels/", "/metrics", "/admin/", "/x"]

ORDERS = {"/circuits/": {"order": "open turns", "why": "x"}, "/test-calls/": {"switch": "main"}, "/engine-fault/": {"mode": "x"}}


def test_no_page_shows_a_secret_while_redis_and_the_switch_are_away(admin: Client) -> None:
    for path in PAGES:
        assert MARKER not in admin.get(path).content.decode(), path
    for path, data in ORDERS.items():
        answer = admin.post(path, data, headers={"HX-Request": "true"}).content.decode()
        assert "Not" in answer
        assert MARKER not in answer, path


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_page_shows_no_settings_with_passwords(
    admin: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    def broken() -> None:
        raise RuntimeError("on purpose")

    settings.DEBUG = debug
    settings.CHANNEL_LAYERS = {"default": {"CONFIG": {"hosts": [settings.LIFELINE_REDIS_VOLATILE_URL]}}}
    monkeypatch.setattr(regions, "see", broken)
    answer = admin.get("/")
    assert answer.status_code == 500
    assert ("CELERY_BROKER_URL" in answer.content.decode()) == debug
    assert MARKER not in answer.content.decode()


@contextlib.contextmanager
def echoing_engine() -> Iterator[str]:
    """Refuses every key, and says which key it refused, as some providers do."""

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = f'{{"error": {{"message": "Incorrect key: {self.headers["Authorization"]}"}}}}'.encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)
            keys.append(self.headers["Authorization"])

        def log_message(self, *_: object) -> None:
            pass

    keys: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
        assert any(MARKER in key for key in keys), "the engine was asked with the key"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_engine_that_repeats_the_key_does_not_bring_it_into_the_page_or_the_log(
    admin: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIFELINE_SECRET_ECHO", MARKER)
    with echoing_engine() as url:
        row = Engine.objects.create(
            name="echo", stage="nlu", kind="openai", address=url, model="m", secret="LIFELINE_SECRET_ECHO", first_byte_s=5,
            total_s=8,
        )  # fmt: skip
        shown = admin.post(reverse("admin:ai_engine_try", args=[row.pk]), {"words": "hello"}).content.decode()
    assert "The key in LIFELINE_SECRET_ECHO was refused" in shown
    assert MARKER not in shown
    assert MARKER not in admin.get(reverse("admin:ai_engine_engine_change", args=[row.pk])).content.decode()
    assert MARKER not in "".join(capfd.readouterr())


@pytest.mark.parametrize("name", ["DATABASE_URL", "LIFELINE_REDIS_DURABLE_URL", "LIFELINE_CELERY_BROKER_URL"])
@pytest.mark.parametrize("password", ["ab/mArKeR", "ab#mArKeR", "12/mArKeR", "ab?mArKeR:x"])
def test_an_address_with_a_password_that_breaks_it_is_refused_without_being_shown(
    tmp_path: Path, name: str, password: str
) -> None:
    from django.core.exceptions import ImproperlyConfigured

    from console.environment import Environment

    scheme = "postgres" if name == "DATABASE_URL" else "redis"
    environment = Environment(tmp_path, {name: f"{scheme}://user:{password}@127.0.0.1:5432/0"})
    with pytest.raises(ImproperlyConfigured, match=name) as refused:
        environment.url(name, "", scheme)
    assert "mArKeR" not in str(refused.value)


@pytest.mark.parametrize(
    "good", ["postgres://u:p%2Fq@h:5432/db", "sqlite:////tmp/x", "sqlite://:memory:", "unix:///run/s?db=0", "redis://h", "redis://[::1]:1/0"]
)  # fmt: skip
def test_good_addresses_are_taken_as_they_are(tmp_path: Path, good: str) -> None:
    from console.environment import Environment

    assert Environment(tmp_path, {"X": good}).url("X", "") == good


def test_what_a_library_says_of_a_secret_is_blanked_in_the_line() -> None:
    mask = masking(
        {"LIFELINE_SECRET_A": "aaaaaaa", "LIFELINE_REDIS_DURABLE_URL": "redis://:p%2Fqrstu@h/0", "LIFELINE_SECRET_B": "b", "X": "y"}
    )  # fmt: skip
    assert mask("aaaaaaab p%2Fqrstu p/qrstu xyz b") == "…b … … xyz b"
    assert masking({})("a") == "a"
