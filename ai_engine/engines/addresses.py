"""Where an engine may be: which hosts and network addresses Lifeline speaks to on an operator's word.

Owns the judgement, of what is written and of what a name resolves to, and connecting to nothing else. An engine may well
be on this machine or in a private network; what is refused are addresses that only a machine's own hypervisor or nobody
answers, because a cloud's metadata service hands out credentials to whoever can make a process ask for them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from ai_engine.errors import Kind, PermanentEngineError, SlowEngineError, TransientEngineError

T = TypeVar("T")
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Metadata services that do not hide behind a link-local address: AWS over IPv6, Alibaba Cloud.
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
# The port that a scheme means when the address names none.
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
# Names resolve in milliseconds; a name server that is away must not eat a caller's turn.
RESOLVE_S = 2.0


def address_problem(url: str) -> str:
    """What is wrong with an address as it is written; empty when it can be tried."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return "this is no address: use the form scheme://host:port/path"
    if not host:
        return "the address names no host"
    if parts.username is not None or parts.password is not None:
        return "an address holds no user and no password: name the secret's environment variable instead"
    if parts.fragment or any(char.isspace() for char in url):
        return "the address holds a # or a space: take it out"
    address = _literal(host)
    if address is not None and is_refused(address):
        return f"{host} is no address of an engine: it is link-local, a metadata service, or nobody's"
    return ""


def host_problem(url: str, allowed: Sequence[str]) -> str:
    """Against LIFELINE_ENGINE_HOSTS: names, ``*.domain`` and networks. Everything is allowed when it is empty."""
    host = (urlsplit(url).hostname or "").lower()
    if not allowed or any(_matches(host, pattern.lower()) for pattern in allowed):
        return ""
    return f"the host {host} is not in LIFELINE_ENGINE_HOSTS: add it there, or use one of {', '.join(allowed)}"


def is_refused(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA


async def resolved(host: str, port: int) -> list[str]:
    """The addresses that ``host`` has and that may be spoken to; connect to one of them, not to the name again.

    Raises an EngineError when there is none, or when any is refused: a name that points both to an engine and to a
    metadata service is nobody's honest mistake.
    """
    literal = _literal(host)
    if literal is not None and not is_refused(literal):
        return [host]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise SlowEngineError(Kind.TIMEOUT, "the host's name was not resolved in time") from None
    except (OSError, UnicodeError) as error:
        raise TransientEngineError(Kind.REFUSED, "the host's name is not known") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or any(is_refused(ipaddress.ip_address(one.partition("%")[0])) for one in addresses):
        raise PermanentEngineError(Kind.REFUSED, "the host's name leads to an address that is not allowed")
    return addresses


def host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)


async def connected(url: str, within_s: float) -> socket.socket:
    """A connection to the host of ``url``, at an address that was looked at; the caller closes it. Raises OSError or an
    EngineError."""
    host, port = host_and_port(url)

    async def attempt(address: str, share_s: float) -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            async with asyncio.timeout(share_s):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException:
            made.close()
            raise
        return made

    return await each_in_turn(await resolved(host, port), within_s, attempt, OSError)


async def each_in_turn(
    addresses: Sequence[str],
    within_s: float,
    attempt: Callable[[str, float], Awaitable[T]],
    *errors: type[Exception],
) -> T:
    """The first success, each address with an equal share of the time that is left. Raises the last one's error."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            return await attempt(address, max(0.0, deadline - loop.time()) / left)
        except errors:
            if left == 1:
                raise
    raise ValueError("no address was given")


def _literal(host: str) -> IPAddress | None:
    """Also the short and numeric forms that a resolver takes for an address (``0xa9fea9fe``)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(socket.inet_aton(host))
    except (OSError, UnicodeError, ValueError):
        return None


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    if host == pattern:
        return True
    address = _literal(host)
    try:
        return address is not None and address in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
