"""The console's pages as a browser without JavaScript gets them, the orders, and what the WebSocket pushes."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ai_engine.circuits import keys, operators
from ai_engine.circuits.sharing import Known
from ai_engine.circuits.states import CircuitState, CircuitView
from ai_engine.errors import Kind
from ai_engine.local.faults import Mode, current_fault
from ai_engine.models import Engine
from ai_engine.redis_clients import connect, connect_async
from console import live, words
from console.chart import latency_chart
from console.live import coalescer
from console.models import Call, Incident, JournalLine, OperatorAction, Turn
from console.partials import hearing
from console.regions import out_of_use
from esl_bridge.journal.events import FIELD, JOURNAL_STREAM
from esl_bridge.partials import PartialWriter
from tests.console.journal import report_bridge
from tests.redis_server import RedisServer

PUSH_LIMIT_S = 5.0
REASON = "the engine's vendor is at work"


@pytest.fixture(autouse=True)
def _redis(settings: Any, durable_server: RedisServer, tmp_path: Path) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_server.url
    settings.LIFELINE_REDIS_VOLATILE_URL = durable_server.url
    settings.LIFELINE_DATA_DIR = tmp_path
    settings.LIFELINE_DEMO = True


def user_with(*codenames: str) -> User:
    user = User.objects.create_user(f"user{uuid.uuid4().hex[:6]}", password="a long enough one")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="console", codename__in=codenames))
    return user


def browser_of(*codenames: str) -> Client:
    client = Client()
    client.force_login(user_with(*codenames))
    return client


def make_call(caller: str = "+441632960217", **fields: Any) -> Call:
    defaults: dict[str, Any] = {
        "call_uuid": uuid.uuid4(), "caller": caller, "destination": "9100", "flow_slug": "bank", "flow_version": 3,
        "bridge_id": "bridge-1", "mode": "ai", "step": "slot:account_number", "started_at": timezone.now(),
        "last_event_at": timezone.now(), "last_transcript": "my balance please",
    }  # fmt: skip
    return Call.objects.create(**{**defaults, **fields})


def fail(call: Call, outcome: str, **fields: Any) -> Incident:
    defaults: dict[str, Any] = {
        "incident_id": uuid.uuid4().hex, "cause": "ai", "stage": "stt", "kind": "timeout", "attempts": 2,
        "proof": "PLAYBACK_START menu.wav", "opened_at": timezone.now(),
    }  # fmt: skip
    return Incident.objects.create(call=call, outcome=outcome, **{**defaults, **fields})


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, url
    return answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/", "/calls/", f"/calls/{uuid.uuid4()}/", "/incidents/"])
def test_pages_are_for_people_who_logged_in_and_may_watch(url: str) -> None:
    assert Client().get(url)["Location"].startswith("/login/")
    assert browser_of().get(url).status_code == 403


@pytest.mark.django_db
def test_logging_in_leads_to_the_live_page() -> None:
    user = user_with("view_call")
    client = Client()
    assert "Log in" in text(client, "/login/")
    answer = client.post("/login/", {"username": user.username, "password": "a long enough one"})
    assert answer["Location"] == "/"
    assert "Nobody is on the line" in text(client, "/")


@pytest.mark.django_db
def test_with_no_bridge_the_page_says_so_and_what_it_shows_of_its_calls_is_marked_as_old(settings) -> None:
    make_call(bridge_id="bridge-1")
    client = browser_of("view_call")
    page = text(client, "/")
    assert "No bridge is running" in page
    assert "1 call below was with a bridge that is gone" in page
    assert "Bridge gone" in page
    report_bridge(settings.LIFELINE_REDIS_DURABLE_URL, "bridge-1")
    page = text(client, "/")
    assert "No bridge is running" not in page
    assert "Bridge gone" not in page
    report_bridge(settings.LIFELINE_REDIS_DURABLE_URL, "bridge-2")
    make_call(call_uuid="elsewhere", bridge_id="bridge-3")
    assert "1 call below was with a bridge that is gone" in text(client, "/")


@pytest.mark.django_db
def test_the_caller_is_masked_unless_the_viewer_may_see_it() -> None:
    call = make_call()
    for url in ("/", "/calls/", f"/calls/{call.call_uuid}/"):
        assert "•••0217" in (masked := text(browser_of("view_call"), url))
        assert "1632960217" not in masked
        assert "+441632960217" in text(browser_of("view_call", "see_caller"), url)


@pytest.mark.django_db
def test_the_two_figures_stand_side_by_side_and_zero_lost_is_calm() -> None:
    fail(make_call(), "failed_over")
    page = text(browser_of("view_call"), "/")
    assert 'id="kept">1<' in page
    assert 'id="lost">0<' in page
    assert "none lost" in page
    assert "alarm" not in page
    fail(make_call(), "dropped")
    page = text(browser_of("view_call"), "/")
    assert "figure lost alarm" in page
    assert "1 caller lost" in page
    assert "lost-before" not in page
    yesterday = timezone.localtime().replace(hour=0, minute=0) - timedelta(minutes=5)
    Incident.objects.filter(outcome="dropped").update(opened_at=yesterday, closed_at=yesterday)
    page = text(browser_of("view_call"), "/")
    assert 'id="lost">0<' in page
    assert "1 caller lost in the seven days before" in page


@pytest.mark.django_db
def test_a_call_that_went_on_with_another_bridge_is_not_said_to_be_one_whose_ai_failed_and_answered() -> None:
    """The only way to ``recovered`` is a bridge that went (``Incidents``); the AI may never have been asked."""
    call = make_call()
    fail(call, "recovered", cause="bridge", stage="bridge", kind="resumed")
    client = browser_of("view_call")
    for url in ("/", "/calls/", f"/calls/{call.call_uuid}/", "/incidents/"):
        page = text(client, url)
        assert "bridge, went on with another" in page, url
        assert "answered after all" not in page, url
    metrics = text(Client(), "/metrics")
    (told,) = [line for line in metrics.splitlines() if line.startswith("# HELP lifeline_ai_failures_recovered ")]
    assert "lost their bridge" in told


@pytest.mark.django_db
def test_who_came_to_a_person_by_the_menu_is_counted_with_the_menu_and_the_page_says_so() -> None:
    make_call(mode="agent", fell_back_reason="incident", fell_back_at=timezone.now())
    make_call(mode="agent")
    assert "In the keypad menu now, or with a person after it</dt><dd id=\"in-menu\">1<" in text(browser_of("view_call"), "/")


@pytest.mark.django_db
def test_words_of_callers_are_text_and_never_markup() -> None:
    make_call(last_transcript="<script>alert(1)</script>")
    page = text(browser_of("view_call"), "/")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/", "/calls/", "/incidents/"])
def test_a_page_costs_as_many_queries_for_thirty_calls_as_for_three(url: str) -> None:
    client = browser_of("view_call")
    counts = []
    for more in (3, 27):
        for _ in range(more):
            fail(make_call(), "failed_over")
        text(client, url)
        with CaptureQueriesContext(connection) as queries:
            text(client, url)
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 25


@pytest.mark.django_db
def test_calls_are_found_by_outcome_and_paged() -> None:
    kept, lost = make_call(), make_call()
    menu = make_call(fell_back_reason="forced", mode="fallback")
    fail(kept, "failed_over")
    fail(lost, "failed_over")
    fail(lost, "dropped")
    for _ in range(50):
        make_call(started_at=timezone.now() - timedelta(hours=1))
    client = browser_of("view_call")
    for outcome, only in (("kept", kept), ("lost", lost), ("menu", menu)):
        page = text(client, f"/calls/?outcome={outcome}")
        assert [str(call.call_uuid) in page for call in (kept, lost, menu)] == [call is only for call in (kept, lost, menu)]
    assert text(client, "/calls/").count("<tr>") == 51
    assert "Page 2 of 2" in text(client, "/calls/?page=2")


@pytest.mark.django_db
@pytest.mark.parametrize(("outcome", "shown"), [("all", 3), ("kept", 1), ("lost", 1), ("menu", 1)])
def test_a_call_is_listed_once_however_many_failures_it_had_and_no_page_asks_to_take_out_repeats(outcome: str, shown: int) -> None:
    kept, lost = make_call(), make_call()
    make_call(fell_back_reason="forced")
    for _ in range(3):
        fail(kept, "failed_over")
        fail(lost, "dropped")
    with CaptureQueriesContext(connection) as queries:
        page = text(browser_of("view_call"), f"/calls/?outcome={outcome}")
    assert page.count("<tr>") == 1 + shown
    of_calls = [query["sql"] for query in queries if 'FROM "console_call"' in query["sql"]]
    assert len(of_calls) == 2, "their number, and those of the page"
    assert not [sql for sql in of_calls if "DISTINCT" in sql or "JOIN" in sql]


@pytest.mark.django_db
def test_a_call_s_page_says_in_plain_words_why_it_ended() -> None:
    call = make_call(
        ended_at=timezone.now(), ended_by="caller", hangup_cause="NORMAL_CLEARING",
        fell_back_reason="incident", fell_back_at=timezone.now(), mode="fallback",
    )  # fmt: skip
    Turn.objects.create(call=call, turn=1, expect="intent", outcome="failed", stages=[])
    fail(call, "failed_over")
    for seq, (kind, data) in enumerate(
        [
            ("call_started", {"caller": call.caller, "destination": "9100", "bridge_id": "bridge-1"}),
            ("step_entered", {"step": "slot:account_number", "mode": "ai"}),
            ("incident_opened", {"cause": "ai", "stage": "stt", "kind": "timeout", "attempts": 2}),
            ("fell_back", {"reason": "incident"}),
            ("kind_of_a_later_version", {}),
        ]
    ):
        JournalLine.objects.create(call_uuid=call.call_uuid, epoch=1, seq=seq, at=timezone.now(), kind=kind, data=data)
    page = text(browser_of("view_call"), f"/calls/{call.call_uuid}/")
    assert "The caller hung up (normal clearing)" in page
    assert "Asks for account number (AI)" in page
    assert "The AI (hearing) did not answer in time, after 2 attempts" in page
    assert "To the keypad menu, because the AI failed" in page
    assert "Kind of a later version" in page
    assert call.caller not in page
    assert "Caller kept" in text(browser_of("view_call"), "/incidents/")


@pytest.mark.django_db
def test_an_operator_holds_a_circuit_and_gives_it_back() -> None:
    client = browser_of("view_call", "toggle_circuit")
    order = {"order": "open turns", "why": REASON, "minutes": "5"}
    answer = client.post("/circuits/", order, headers={"HX-Request": "true"})
    assert "Confirmed: turns held open" in answer.content.decode()
    page = text(client, "/")
    assert "All callers go to the keypad menu: the way to the AI is not in use (Held open by" in page
    assert f"Held open by {User.objects.get().username}: {REASON.replace(chr(39), '&#x27;')}, until" in page
    action = OperatorAction.objects.get()
    assert (action.what, action.target, action.why) == ("circuit open", "turns", REASON)
    assert action.until is not None
    assert client.post("/circuits/", {"order": "release turns", "why": "over"})["Location"] == "/"
    assert "turns automatic again" in text(client, "/")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"order": "open turns", "why": " "}, "Give a reason"),
        ({"order": "open nonsense", "why": "x"}, "Not done: there is no circuit"),
        ({"order": "explode turns", "why": "x"}, "Not done: order"),
        ({"order": "open turns", "why": "x", "minutes": "0"}, "Not done: minutes"),
    ],
)
def test_a_wrong_order_is_refused_in_words_and_not_recorded(order: dict[str, str], said: str) -> None:
    client = browser_of("view_call", "toggle_circuit")
    assert said in client.post("/circuits/", order, headers={"HX-Request": "true"}).content.decode()
    assert not OperatorAction.objects.exists()


@pytest.mark.django_db
def test_with_redis_away_an_order_is_not_confirmed_and_the_page_still_opens(durable_server: RedisServer) -> None:
    client = browser_of("view_call", "toggle_circuit")
    durable_server.kill()
    answer = client.post("/circuits/", {"order": "open turns", "why": REASON}, headers={"HX-Request": "true"})
    assert "Not confirmed: the durable Redis does not answer" in answer.content.decode()
    assert not OperatorAction.objects.exists()
    page = text(client, "/")
    assert "states are not known" in page
    assert "is recorded later, and is not on this page yet" in page


@pytest.mark.django_db
def test_orders_need_their_permission_and_breaking_needs_the_demonstration(settings: Any, tmp_path: Path) -> None:
    watcher, breaker = browser_of("view_call"), browser_of("view_call", "break_engine")
    assert watcher.post("/circuits/", {"order": "open turns", "why": "x"}).status_code == 403
    assert watcher.post("/engine-fault/", {"mode": "hang"}).status_code == 403
    assert "circuit-order" not in text(watcher, "/")
    assert "break the AI" not in text(watcher, "/")
    breaker.post("/engine-fault/", {"mode": "hang", "stage": "stt"})
    assert current_fault(tmp_path).mode is Mode.HANG
    assert "Broken now: Hearing (speech to text) of the local engine hangs" in text(breaker, "/")
    breaker.post("/engine-fault/", {"mode": "none"})
    assert current_fault(tmp_path).mode is Mode.NONE
    settings.LIFELINE_DEMO = False
    assert breaker.post("/engine-fault/", {"mode": "hang"}).status_code == 404
    assert "break the AI" not in text(breaker, "/")


@pytest.mark.django_db
def test_an_order_needs_its_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user_with("view_call", "toggle_circuit"))
    assert client.post("/circuits/", {"order": "open turns", "why": "x"}).status_code == 403


@pytest.mark.django_db
def test_health_and_metrics_answer_without_a_login() -> None:
    assert Client().get("/healthz").content == b"ok\n"
    assert b"python_info" in Client().get("/metrics").content


def socket_of(user: User | None) -> WebsocketCommunicator:
    logging_before = structlog.get_config()
    from console.asgi import application  # Imported here: it sets Django up, and how its process logs, which is not ours.

    structlog.configure(**logging_before)

    client = Client()
    if user is not None:
        client.force_login(user)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"cookie", cookie.encode())]
    return WebsocketCommunicator(application, "/ws/live/", headers)


async def regions_of(socket: WebsocketCommunicator) -> dict[str, str]:
    return json.loads(await socket.receive_from(timeout=PUSH_LIMIT_S))["regions"]


async def until_shown(socket: WebsocketCommunicator, region: str, wanted: str) -> str:
    async with asyncio.timeout(PUSH_LIMIT_S):
        while True:
            shown = (await regions_of(socket))[region]
            if wanted in shown:
                return shown


@pytest.mark.django_db(transaction=True)
async def test_a_nudge_brings_the_change_to_every_viewer_as_each_may_see_it() -> None:
    users = [await asyncio.to_thread(user_with, "view_call"), await asyncio.to_thread(user_with, "view_call", "see_caller")]
    sockets = [await asyncio.to_thread(socket_of, user) for user in users]
    for socket in sockets:
        assert (await socket.connect())[0]
        await until_shown(socket, "calls", "Nobody is on the line")
    await asyncio.to_thread(make_call)
    await get_channel_layer().group_send("live", {"type": "live.changed"})
    assert "1632960217" not in await until_shown(sockets[0], "calls", "•••0217")
    await until_shown(sockets[1], "calls", "+441632960217")
    for socket in sockets:
        await socket.disconnect()
    assert not coalescer.is_running


@pytest.mark.django_db(transaction=True)
async def test_a_circuit_that_changes_without_a_nudge_is_pushed_within_a_second_or_two(settings: Any) -> None:
    socket = await asyncio.to_thread(socket_of, await asyncio.to_thread(user_with, "view_call"))
    await socket.connect()
    await regions_of(socket)
    url = settings.LIFELINE_REDIS_DURABLE_URL
    await asyncio.to_thread(operators.force, "turns", CircuitState.FORCED_OPEN, "anna", REASON, redis_url=url)
    await until_shown(socket, "circuits", "Held open by anna")
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_what_a_caller_is_just_saying_is_shown_while_they_speak_and_no_longer(settings: Any) -> None:
    call = await asyncio.to_thread(make_call)
    socket = await asyncio.to_thread(socket_of, await asyncio.to_thread(user_with, "view_call"))
    await socket.connect()
    await until_shown(socket, "calls", "my balance please")
    client = connect_async(settings.LIFELINE_REDIS_VOLATILE_URL)
    writer = PartialWriter(client)
    writing = asyncio.create_task(writer.run())
    writer.put(str(call.call_uuid), "where is <my")
    shown = await until_shown(socket, "calls", "“where is &lt;my …”")
    assert "my balance please" not in shown
    writer.put(str(call.call_uuid), "")
    await until_shown(socket, "calls", "my balance please")
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await client.aclose()
    await socket.disconnect()
    assert hearing.now(0.0) == {}, "nothing is kept when nobody watches"


@pytest.mark.django_db(transaction=True)
async def test_a_recorder_that_stands_still_is_said_although_nothing_nudges(settings: Any) -> None:
    socket = await asyncio.to_thread(socket_of, await asyncio.to_thread(user_with, "view_call"))
    await socket.connect()
    assert "behind" not in (await regions_of(socket))["figures"]
    with connect(settings.LIFELINE_REDIS_DURABLE_URL) as client:
        client.xadd(JOURNAL_STREAM, {FIELD: b""}, id=f"{int((time.time() - 60) * 1000)}-0")
    assert ">1:0" in await until_shown(socket, "figures", "The records are behind by")
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_the_socket_is_closed_to_who_may_not_watch_and_refused_to_other_sites() -> None:
    for user in (None, await asyncio.to_thread(user_with)):
        socket = await asyncio.to_thread(socket_of, user)
        await socket.connect()
        assert (await socket.receive_output(timeout=PUSH_LIMIT_S))["code"] == 4403
        await socket.disconnect()
    user = await asyncio.to_thread(user_with, "view_call")
    for origin in (b"http://evil.example", b"http://localhost:3000", b"https://localhost", b"null", None):
        stranger = await asyncio.to_thread(socket_of, user)
        others = [header for header in stranger.scope["headers"] if header[0] != b"origin"]
        stranger.scope["headers"] = others if origin is None else [(b"origin", origin), *others]
        assert not (await stranger.connect())[0], origin
    assert not coalescer.is_running


@pytest.mark.django_db(transaction=True)
async def test_a_trusted_origin_may_open_the_socket_and_an_unknown_host_may_not(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://console.example.org"]
    user = await asyncio.to_thread(user_with, "view_call")
    trusted, foreign = await asyncio.to_thread(socket_of, user), await asyncio.to_thread(socket_of, user)
    trusted.scope["headers"] = [(b"origin", b"https://console.example.org"), *_without(trusted, b"origin")]
    assert (await trusted.connect())[0]
    await trusted.disconnect()
    same = [(b"host", b"evil.example"), (b"origin", b"http://evil.example")]
    foreign.scope["headers"] = [*same, *_without(foreign, b"origin", b"host")]
    assert not (await foreign.connect())[0]


def _without(socket: WebsocketCommunicator, *names: bytes) -> list[tuple[bytes, bytes]]:
    return [header for header in socket.scope["headers"] if header[0] not in names]


@pytest.mark.django_db(transaction=True)
async def test_who_loses_the_permission_or_logs_out_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SIGHT_CHECK_S", 0.1)
    losing, leaving = [await asyncio.to_thread(user_with, "view_call") for _ in range(2)]
    sockets = [await asyncio.to_thread(socket_of, user) for user in (losing, leaving)]
    for socket in sockets:
        await socket.connect()
        await regions_of(socket)
    await asyncio.to_thread(losing.user_permissions.clear)
    await asyncio.to_thread(Session.objects.all().delete)
    for socket in sockets:
        assert await close_code(socket) == 4403
        await socket.disconnect()
    assert not coalescer.is_running


async def close_code(socket: WebsocketCommunicator) -> int:
    async with asyncio.timeout(PUSH_LIMIT_S):
        while (message := await socket.receive_output(timeout=PUSH_LIMIT_S))["type"] != "websocket.close":
            pass
    return int(message["code"])


@pytest.mark.django_db(transaction=True)
async def test_a_new_password_and_the_end_of_the_session_close_pages_that_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SIGHT_CHECK_S", 0.1)
    resetting, expiring = [await asyncio.to_thread(user_with, "view_call") for _ in range(2)]
    sockets = [await asyncio.to_thread(socket_of, user) for user in (resetting, expiring)]
    for socket in sockets:
        await socket.connect()
        await regions_of(socket)

    def reset_and_expire() -> None:
        resetting.set_password("another long one")
        resetting.save()
        for session in Session.objects.all():
            if session.get_decoded()["_auth_user_id"] == str(expiring.pk):
                session.expire_date = timezone.now() - timedelta(seconds=1)
                session.save()

    await asyncio.to_thread(reset_and_expire)
    for socket in sockets:
        assert await close_code(socket) == 4403
        await socket.disconnect()
    assert not coalescer.is_running


@pytest.mark.django_db(transaction=True)
async def test_a_secret_key_that_is_changed_for_another_closes_no_page_while_the_old_one_is_kept(settings: Any) -> None:
    user = await asyncio.to_thread(user_with, "view_call")
    socket = await asyncio.to_thread(socket_of, user)
    await socket.connect()
    await regions_of(socket)
    (viewer,) = coalescer._viewers
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another " * 8
    assert await viewer.sight() is not None
    settings.SECRET_KEY_FALLBACKS = []
    assert await viewer.sight() is None
    assert await close_code(socket) == 4403
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_with_the_redis_of_the_nudges_away_from_the_start_a_page_connects_and_is_shown_what_changes(settings: Any) -> None:
    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]}}
    settings.CHANNEL_LAYERS = {"default": layer}
    settings.LIFELINE_REDIS_VOLATILE_URL = "redis://127.0.0.1:1/0"
    socket = await asyncio.to_thread(socket_of, await asyncio.to_thread(user_with, "view_call"))
    assert (await socket.connect())[0]
    await until_shown(socket, "calls", "Nobody is on the line")
    await asyncio.to_thread(make_call)
    await until_shown(socket, "calls", "my balance please")
    await socket.disconnect()
    assert not coalescer.is_running


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (CircuitView("a", "stt", CircuitState.CLOSED, 0, 3), "Closed – in use"),
        (CircuitView("a", "stt", CircuitState.OPEN, 3, 3, retry_in_s=12), "Open – not used"),
        (CircuitView("a", "stt", CircuitState.HALF_OPEN, 3, 3), "Half-open – testing"),
        (CircuitView("a", "stt", CircuitState.FORCED_CLOSED, 0, 3, by="anna", why="x"), "Held closed by anna: x, until released"),
    ],
)  # fmt: skip
def test_a_circuit_s_state_is_said_in_words(view: CircuitView, said: str) -> None:
    assert words.circuit_state(view) == said


def test_what_is_not_in_use_is_said_at_the_top_with_what_it_means_for_callers() -> None:
    def view(name: str, stage: str, state: CircuitState) -> CircuitView:
        return CircuitView(name, stage, state, failures=3, threshold=3)

    others = [view("n", "nlu", CircuitState.CLOSED), view("s", "tts", CircuitState.CLOSED)]
    closed = [view("a", "stt", CircuitState.CLOSED), *others, view("turns:b-1", "turns", CircuitState.CLOSED)]
    assert out_of_use(closed, []) == []
    one_of_two = [*closed, view("b", "stt", CircuitState.OPEN)]
    assert out_of_use(one_of_two, [("c", "stt")]) == [], "the other one hears them"
    said = out_of_use([view("a", "stt", CircuitState.OPEN), *others, view("turns:b-1", "turns", CircuitState.HALF_OPEN)], [])
    assert said == [
        "All callers go to the keypad menu: Hearing (speech to text) has no engine in use (a: Open – not used).",
        "Callers of b-1 go to the keypad menu: the way to the AI is not in use (Half-open – testing).",
    ]
    assert out_of_use(None, [("a", "stt")]) == [], "with Redis away it is not known what is in use, which is said by itself"
    assert out_of_use(others, []) == [
        "All callers go to the keypad menu: Hearing (speech to text) has no engine in use (there is none)."
    ]


@pytest.mark.django_db
def test_a_part_whose_engines_are_all_disabled_sends_callers_to_the_menu_and_the_page_says_so(durable_server: RedisServer) -> None:
    parser = {"stage": "nlu", "kind": "openai", "address": "http://10.0.0.1/v1", "model": "m"}
    Engine.objects.create(name="parser", order=1, enabled=False, **parser)
    with connect(durable_server.url) as client:  # Its circuit is still told of for a minute.
        client.hset(keys.ENGINES, "parser", msgspec.json.encode(Known("parser", "nlu", 3, 20.0, 1.0)))
    page = text(browser_of("view_call"), "/")
    assert "All callers go to the keypad menu: Understanding has no engine in use (parser: disabled)." in page
    row = page[page.index('id="circuit-parser"') :].split("</li>")[0]
    assert "Disabled: calls do not use it" in row
    assert "in use" not in row
    Engine.objects.create(name="second", order=2, **parser)
    assert "All callers go to the keypad menu" not in text(browser_of("view_call"), "/")


def test_every_kind_of_failure_has_words_of_its_own() -> None:
    assert {kind.value for kind in Kind} <= words.KINDS.keys()
    assert words.failure("queue", "queue", "not_published", 1).startswith("The queue to the AI took no turn")
    assert words.failure("bridge", "bridge", "resumed", 1).startswith("Lifeline's bridge went away")
    assert words.failure("media", "stream", "never_seen", 1) == "The audio connection failed: never seen"


def test_callers_and_durations_are_written_as_an_operator_reads_them() -> None:
    assert [words.masked(caller) for caller in ("", "217", "+441632960217")] == ["number withheld", "•••", "•••0217"]
    assert [words.duration(seconds) for seconds in (-1, 61.9, 3661)] == ["0:00", "1:01", "1:01:01"]


def test_the_chart_needs_two_minutes_and_says_itself_in_words() -> None:
    start = timezone.now().replace(second=0, microsecond=0)
    assert latency_chart([(start, 400.0, 900.0)]) is None
    chart = latency_chart([(start, 400.0, 900.0), (start + timedelta(minutes=1), 500.0, 2000.0)])
    assert chart is not None
    assert chart.p95.endswith("314.0,6.0")
    assert "the slowest minute" in chart.words
    assert "2.00 s" in chart.words
