"""One HTTP/2 connection pool an engine, with its official client on top, and what its errors mean here.

Owns the pool's life. After a hang the pool is replaced: a connection whose other end froze would otherwise swallow
every later request until TCP gives it up, minutes later. So it is after some requests that were given up: httpcore2 does
not reset their streams, and a connection has only a hundred. The clients' own retries are off; ours know the turn's budget.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import httpx2

from ai_engine.engines.checked_transport import CheckedTransport
from ai_engine.engines.config import EngineConfig
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind, PermanentEngineError, SlowEngineError, TransientEngineError, http_error

# HTTP/2 carries a hundred requests a connection; more than a handful of connections only helps HTTP/1.1 servers.
MAX_CONNECTIONS = 32
# Shorter than any server's idle limit, so that no request meets a connection being closed.
KEEPALIVE_S = 25.0
# Of the limit on silence, so that a connection that never stands is told from a server that never answers.
CONNECT_SHARE = 0.9
# A quarter of the streams that a connection has at most: as many may be lost to requests given up half-way.
MAX_GIVEN_UP = 25

_trace: ContextVar[Trace | None] = ContextVar("engine_trace", default=None)


class Client(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=Client)


@dataclass(frozen=True, slots=True)
class Sdk(Generic[C]):
    """A provider's official client: how it is made, with a key, on an HTTP client; its root error; and, of an error for
    an answer's status, that status and the answer's headers.
    """

    make: Callable[[EngineConfig, str, httpx2.AsyncClient], C]
    error: type[Exception]
    status_of: Callable[[Exception], tuple[int, Mapping[str, str]] | None]


class _Pool(Generic[C]):
    """A client and how many requests are in it."""

    def __init__(self, config: EngineConfig, sdk: Sdk[C]) -> None:
        limit_s = config.first_byte_s
        http = httpx2.AsyncClient(
            transport=CheckedTransport(
                http1=not config.http2_cleartext,
                http2=True,
                limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S),
            ),
            timeout=httpx2.Timeout(connect=CONNECT_SHARE * limit_s, read=limit_s, write=limit_s, pool=limit_s),
            event_hooks={"request": [_watch_connection]},
            follow_redirects=False,
            trust_env=False,
        )
        self.client = sdk.make(config, config.secret_value() or "none", http)
        self.in_use = 0
        self.given_up = 0
        self.retired = False

    async def close_if_idle(self) -> None:
        if self.retired and not self.in_use:
            await self.client.close()


class HttpPool(Generic[C]):
    """Hands out the client; every error that leaves the block is an EngineError."""

    def __init__(self, config: EngineConfig, sdk: Sdk[C]) -> None:
        self._config = config
        self._sdk = sdk
        self._pool: _Pool[C] | None = None

    @contextlib.asynccontextmanager
    async def client(self, trace: Trace) -> AsyncIterator[C]:
        pool = self._pool = self._pool or _Pool(self._config, self._sdk)
        pool.in_use += 1
        token = _trace.set(trace)
        try:
            yield pool.client
        except SlowEngineError:
            self._retire(pool)
            raise
        except (self._sdk.error, httpx2.HTTPError, httpx2.StreamError) as error:
            mapped = _engine_error(error, self._sdk.status_of(error))
            if isinstance(mapped, SlowEngineError) or isinstance(_cause(error), httpx2.LocalProtocolError):
                self._retire(pool)
            raise mapped from error
        except (asyncio.CancelledError, EngineError):
            pool.given_up += 1
            if pool.given_up >= MAX_GIVEN_UP:
                self._retire(pool)
            raise
        finally:
            _trace.reset(token)
            pool.in_use -= 1
            await pool.close_if_idle()

    async def close(self) -> None:
        """What is under way ends first, with its own limits: a probe may still have the engine of an older row."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.retired = True
            await pool.close_if_idle()

    def _retire(self, pool: _Pool[C]) -> None:
        pool.retired = True
        if self._pool is pool:
            self._pool = None


async def _watch_connection(request: httpx2.Request) -> None:
    """Marks a new connection, which the request opens in its own task, on the trace of that request."""
    trace = _trace.get()
    if trace is None:
        return

    stands = "connection.start_tls.complete" if request.url.scheme == "https" else "connection.connect_tcp.complete"

    async def told(event: str, _info: object) -> None:
        if event == stands:
            trace.connected()

    request.extensions = {**request.extensions, "trace": told}


def _engine_error(error: Exception, status: tuple[int, Mapping[str, str]] | None) -> EngineError:
    if status is not None:
        return http_error(*status)
    cause = _cause(error)
    match cause:
        case httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return SlowEngineError(Kind.TIMEOUT, "no connection")
        case httpx2.TimeoutException():
            return SlowEngineError(Kind.HANG, "no byte of an answer")
        case httpx2.ConnectError():
            return TransientEngineError(Kind.REFUSED)
        case httpx2.DecodingError():
            return TransientEngineError(Kind.GARBAGE, type(cause).__name__)
        case httpx2.TransportError() | httpx2.StreamError():
            return TransientEngineError(Kind.RESET, type(cause).__name__)
    return PermanentEngineError(Kind.INTERNAL, type(cause).__name__)


def _cause(error: Exception) -> BaseException:
    """What happened on the connection, under what the client makes of it."""
    return error.__cause__ if isinstance(error.__cause__, httpx2.HTTPError | httpx2.StreamError) else error
