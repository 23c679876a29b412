"""HTTP to engines, at addresses that were looked at. Owns where the client's connections go, and nothing of what is said."""

from __future__ import annotations

from collections.abc import Iterable

import httpcore2
import httpx2
from httpcore2 import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from ai_engine.engines.addresses import each_in_turn, resolved
from ai_engine.errors import EngineError, SlowEngineError

# For a client without a limit of its own, which none of ours is.
CONNECT_S = 5.0


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """Resolves each host itself: what was checked and what is connected to cannot differ. The certificate is still
    checked against the host's name. No proxy, whatever the environment says."""

    def __init__(self, *, http1: bool, http2: bool, limits: httpx2.Limits) -> None:
        super().__init__(http1=http1, http2=http2, limits=limits, trust_env=False)
        # The library offers no argument for it; the test of this module notices when this no longer reaches it.
        self._pool._network_backend = _CheckedBackend(self._pool._network_backend)


class _CheckedBackend(AsyncNetworkBackend):
    def __init__(self, inner: AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's name
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        async def attempt(address: str, share_s: float) -> AsyncNetworkStream:
            return await self._inner.connect_tcp(address, port, share_s, local_address, socket_options)

        try:
            addresses = await resolved(host, port)
        except SlowEngineError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except EngineError as error:
            raise httpcore2.ConnectError(str(error)) from error
        failures = (httpcore2.ConnectError, httpcore2.ConnectTimeout)
        return await each_in_turn(addresses, CONNECT_S if timeout is None else timeout, attempt, *failures)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
