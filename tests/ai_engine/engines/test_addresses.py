"""Where engines may be: what is written, what a name resolves to, and the operator's own list."""

from __future__ import annotations

import asyncio
import socket

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from ai_engine.engines.addresses import address_problem, each_in_turn, host_problem, resolved
from ai_engine.engines.checked_transport import CheckedTransport
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.speech_socket import open_socket
from ai_engine.errors import EngineError, Kind
from tests.ai_engine.fake_engines import FakeOpenAI


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/v1", "http://0.0.0.0/v1", "http://224.0.0.1/v1",
        "http://[::ffff:169.254.169.254]/v1", "http://0xa9fea9fe/v1", "http://2852039166/v1", "http://[fd00:ec2::254]/v1",
        "http://100.100.100.200/v1", "http:///v1", "http://user:key@example.org/v1", "http://x:99999/v1", "http://a b/v1",
        "http://example.org/v1#part",
    ],
)  # fmt: skip
def test_an_address_that_no_engine_has_is_refused(url: str) -> None:
    assert address_problem(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:2701/v1", "wss://api.deepgram.com/v1/listen", "http://10.0.0.7/v1", "ws://[::1]:2700"])
def test_engines_here_in_a_private_network_and_in_the_world_are_taken(url: str) -> None:
    assert address_problem(url) == ""


def test_the_operators_list_is_held_to() -> None:
    allowed = ("api.deepgram.com", "*.example.org", "10.0.0.0/8")
    assert not host_problem("https://one.two.example.org/v1", allowed)
    assert not host_problem("http://10.1.2.3/v1", allowed)
    assert not host_problem("wss://API.deepgram.com/v1", allowed)
    for url in ("https://example.org.evil.net/v1", "https://notexample.org/v1", "http://11.0.0.1/v1"):
        assert "LIFELINE_ENGINE_HOSTS" in host_problem(url, allowed)
    assert not host_problem("https://anything.net", ())


def name_leads_to(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    async def answer(*_args: object, **_options: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)


async def test_what_a_name_resolves_to_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["127.0.0.1"]

    name_leads_to(monkeypatch, found)
    assert await resolved("engine.test", 80) == ["127.0.0.1"]
    found.append("169.254.169.254")
    with pytest.raises(EngineError, match="not allowed") as refused:
        await resolved("engine.test", 80)
    assert refused.value.kind is Kind.REFUSED
    assert not refused.value.retryable


async def test_a_name_that_nobody_has_is_a_refusal() -> None:
    with pytest.raises(EngineError, match="not known"):
        await resolved("nobody.invalid", 80)


async def test_each_address_of_a_name_is_tried() -> None:
    tried: list[str] = []

    async def attempt(address: str, share_s: float) -> str:
        tried.append(address)
        assert 0 < share_s <= 1
        if address != "::1":
            raise ConnectionRefusedError
        return address

    assert await each_in_turn(["127.0.0.1", "::1"], 1.0, attempt, OSError) == "::1"
    assert tried == ["127.0.0.1", "::1"]
    with pytest.raises(ConnectionRefusedError):
        await each_in_turn(["127.0.0.1"], 1.0, attempt, OSError)


async def test_http_connects_only_where_a_name_may_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAI().running() as fake:
        port = httpx2.URL(fake.url).port
        addresses = ["127.0.0.1"]
        name_leads_to(monkeypatch, addresses)
        for wanted in (True, False):
            transport = CheckedTransport(http1=True, http2=False, limits=httpx2.Limits())
            async with httpx2.AsyncClient(transport=transport, timeout=2) as client:
                if wanted:
                    assert (await client.get(f"http://engine.test:{port}/nothing")).status_code == 404
                else:
                    with pytest.raises(httpx2.ConnectError, match="not allowed"):
                        await client.get(f"http://engine.test:{port}/nothing")
            addresses.append("169.254.169.254")


async def test_a_recogniser_that_sends_us_elsewhere_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def redirect(connection: ServerConnection, _request: Request) -> Response:
        response = connection.respond(302, "")
        response.headers["Location"] = "ws://169.254.169.254/"
        return response

    async def never(_connection: ServerConnection) -> None: ...

    async with serve(never, "127.0.0.1", 0, process_request=redirect) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(EngineError, match="elsewhere"):
            await open_socket(EngineConfig("x", Stage.STT, EngineKind.VOSK, url), url, {})
        name_leads_to(monkeypatch, ["169.254.169.254"])
        with pytest.raises(EngineError, match="not allowed"):
            await open_socket(EngineConfig("x", Stage.STT, EngineKind.VOSK, "ws://engine.test"), "ws://engine.test", {})
