"""The limits on an answer's silence: how long until its first piece, and how long between two. Owns their kinds."""

from __future__ import annotations

import asyncio
from types import TracebackType

from ai_engine.engines.config import EngineConfig
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind, SlowEngineError


class Silence:
    """An async context manager around one request and the reading of its answer.

    Until :meth:`answered` (the answer's headers) silence is a hang, until the first :meth:`piece` it is ``missing``,
    after that the answer has stalled. Each silence may last the engine's ``first_byte_s``; the whole has other limits.
    """

    def __init__(self, config: EngineConfig, trace: Trace, missing: Kind) -> None:
        self._limit_s = config.first_byte_s
        self._trace = trace
        self._missing = missing
        self._kind = Kind.HANG
        self._timeout = asyncio.timeout(self._limit_s)

    async def __aenter__(self) -> Silence:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise SlowEngineError(self._kind, f"silent for {self._limit_s:g} s") from None

    def answered(self) -> None:
        self._kind = self._missing

    def piece(self) -> None:
        """A token, a sample: something of the answer itself, no sign of life beside it."""
        self._trace.first_byte()
        self._kind = Kind.STALLED
        if not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._limit_s)
