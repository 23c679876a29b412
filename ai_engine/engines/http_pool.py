"""One HTTP/2 connection pool an engine, with the official client on top, and what its errors mean here.

Owns the pool's life. After a hang the pool is replaced: a connection whose other end froze would otherwise swallow
every later request until TCP gives it up, minutes later. The SDK's own retries are off; ours know the turn's budget.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx2
import openai
from openai import AsyncOpenAI

from ai_engine.engines.config import EngineConfig
from ai_engine.errors import EngineError, Kind, PermanentEngineError, SlowEngineError, TransientEngineError, http_error

# HTTP/2 carries a hundred requests a connection; more than a handful of connections only helps HTTP/1.1 servers.
MAX_CONNECTIONS = 32
# Shorter than any server's idle limit, so that no request meets a connection being closed.
KEEPALIVE_S = 25.0


class _Pool:
    """A client and how many requests are in it."""

    def __init__(self, config: EngineConfig) -> None:
        limit_s = config.first_byte_s
        http = httpx2.AsyncClient(
            http1=not config.http2_cleartext,
            http2=True,
            timeout=httpx2.Timeout(connect=limit_s, read=limit_s, write=limit_s, pool=limit_s),
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S),
            follow_redirects=False,
            trust_env=False,
        )
        key = config.secret_value() or "none"
        self.client = AsyncOpenAI(api_key=key, base_url=config.url, http_client=http, max_retries=0)
        self.in_use = 0
        self.retired = False

    async def close_if_idle(self) -> None:
        if self.retired and not self.in_use:
            await self.client.close()


class HttpPool:
    """Hands out the client; every error that leaves the block is an EngineError."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._pool: _Pool | None = None

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncOpenAI]:
        pool = self._pool = self._pool or _Pool(self._config)
        pool.in_use += 1
        try:
            yield pool.client
        except SlowEngineError:
            self._retire(pool)
            raise
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError) as error:
            mapped = _engine_error(error)
            if isinstance(mapped, SlowEngineError):
                self._retire(pool)
            raise mapped from error
        finally:
            pool.in_use -= 1
            await pool.close_if_idle()

    async def close(self) -> None:
        """What is under way ends first, with its own limits: a probe may still have the engine of an older row."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.retired = True
            await pool.close_if_idle()

    def _retire(self, pool: _Pool) -> None:
        pool.retired = True
        if self._pool is pool:
            self._pool = None


def _engine_error(error: Exception) -> EngineError:
    if isinstance(error, openai.APIStatusError):
        return http_error(error.status_code, error.response.headers)
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    if isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return SlowEngineError(Kind.TIMEOUT, "no connection")
    if isinstance(cause, httpx2.TimeoutException | openai.APITimeoutError):
        return SlowEngineError(Kind.HANG, "no byte of an answer")
    if isinstance(cause, httpx2.ConnectError):
        return TransientEngineError(Kind.REFUSED)
    if isinstance(cause, httpx2.DecodingError | openai.APIResponseValidationError):
        return TransientEngineError(Kind.GARBAGE, type(cause).__name__)
    if isinstance(cause, httpx2.TransportError | httpx2.StreamError | openai.APIConnectionError):
        return TransientEngineError(Kind.RESET, type(cause).__name__)
    return PermanentEngineError(Kind.INTERNAL, type(cause).__name__)
