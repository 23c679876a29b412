"""Where engines may be: what is written, what a name resolves to, and the operator's own list."""

from __future__ import annotations

import asyncio
import socket

import pytest

from ai_engine.engines.addresses import address_problem, host_problem, resolved
from ai_engine.errors import EngineError, Kind


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


async def test_what_a_name_resolves_to_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["127.0.0.1"]

    async def answer(*_args: object, **_options: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    assert await resolved("http://engine.test/v1") == "127.0.0.1"
    found.append("169.254.169.254")
    with pytest.raises(EngineError, match="not allowed") as refused:
        await resolved("http://engine.test/v1")
    assert refused.value.kind is Kind.REFUSED
    assert not refused.value.retryable


async def test_a_name_that_nobody_has_is_a_refusal() -> None:
    with pytest.raises(EngineError, match="not known"):
        await resolved("http://nobody.invalid/v1")
