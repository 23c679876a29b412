"""What every recogniser behind a WebSocket has in common: the connection, its reader, and the limits on its silence.

Owns how a socket is opened, watched and closed, and the errors that come of it. What the messages mean is each
engine's own module. Four silences are failures, each with its own kind: no handshake (hang), an answer that is owed and
does not come (hang), no words at all though a voice was sent (no_partial), and no pong (no_pong).
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from statistics import fmean

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ai_engine.engines.addresses import connected
from ai_engine.engines.audio import VoiceMeter
from ai_engine.engines.config import EngineConfig
from ai_engine.engines.roles import Heard
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind, PermanentEngineError, SlowEngineError, TransientEngineError, http_error
from ai_engine.messages import AUDIO_RATE_HZ, Usage

# The largest answer: word timings of a minute's speech stay below it; a server that sends more is no recogniser.
MAX_MESSAGE_BYTES = 256 * 1024
# Closing is a courtesy: the transcript is here already.
CLOSE_S = 0.2
# A dead peer is noticed after this and ``first_byte_s``, well within the shortest sentence that matters.
PING_EVERY_S = 0.5
# Engines send their first words after some hundred milliseconds of voice; after a second without one they hear nothing.
NO_PARTIAL_VOICE_MS = 1000


async def open_socket(config: EngineConfig, url: str, headers: Mapping[str, str]) -> ClientConnection:
    """Raises an EngineError, within ``first_byte_s``."""
    try:
        async with asyncio.timeout(config.first_byte_s):
            # With a connection of ours the library follows no redirect.
            return await connect(
                url, sock=await connected(url, config.first_byte_s), additional_headers=headers,
                max_size=MAX_MESSAGE_BYTES, open_timeout=None, close_timeout=CLOSE_S, ping_interval=None, proxy=None,
                compression=None,
            )  # fmt: skip
    except TimeoutError:
        raise SlowEngineError(Kind.HANG, "no handshake") from None
    except InvalidStatus as error:
        raise http_error(error.response.status_code, error.response.headers) from error
    except ValueError as error:
        raise PermanentEngineError(Kind.HTTP_400, "it sends us elsewhere") from error
    except InvalidHandshake as error:
        raise TransientEngineError(Kind.GARBAGE, "no WebSocket") from error
    except ConnectionRefusedError as error:
        raise TransientEngineError(Kind.REFUSED) from error
    except (OSError, EOFError, ConnectionClosed) as error:
        raise TransientEngineError(Kind.RESET, type(error).__name__) from error


class Closing:
    """Says goodbye after a success; after a failure the connection is cut: whoever hangs would hang on that as well."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._socket.transport.abort()
            return
        with contextlib.suppress(OSError):
            await self._socket.close()


class SocketStream(abc.ABC):
    """A :class:`SpeechStream`. One task reads what the server says and holds the limits, one asks whether it is there.

    A wire's own class counts in ``owed`` how many answers the server owes: while it owes any, silence is limited.
    """

    def __init__(
        self, socket: ClientConnection, config: EngineConfig, on_partial: Callable[[str], None], trace: Trace
    ) -> None:
        self.config = config
        self.owed = 0
        self.finishing = False
        self.parts: list[str] = []
        self._socket = socket
        self._on_partial = on_partial
        self._trace = trace
        self._words_heard = False
        self._confidences: list[float] = []
        self._voice = VoiceMeter()
        self._voiced_at: float | None = None
        self._sent_bytes = 0
        self._provider_heard_s: float | None = None
        self._ended = asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- the wire's own part ------------------------------------------------------------------------------------------
    @abc.abstractmethod
    async def say_hello(self) -> None: ...

    @abc.abstractmethod
    async def send_audio(self, pcm: bytes) -> None: ...

    @abc.abstractmethod
    async def say_goodbye(self) -> None:
        """No more audio comes; counts what is owed now."""

    @abc.abstractmethod
    def take(self, raw: str | bytes) -> bool:
        """One message; True when it was the last that matters. Raises an EngineError for one that cannot be read."""

    @abc.abstractmethod
    def ends_well(self, closed: ConnectionClosed | None) -> bool:
        """Whether silence (None) or a close after the end of the audio is a good end."""

    @abc.abstractmethod
    def wait_s(self) -> float | None:
        """How long the next message may take; None: as long as it likes."""

    # --- the role -----------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        await self.say_hello()
        self._tasks = [asyncio.create_task(self._to_the_end(work)) for work in (self._read(), self._ping())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # Looked at: whoever had to know of it was told.
        sent_s = self._sent_bytes / 2 / AUDIO_RATE_HZ
        self._trace.used(Usage(heard_s=sent_s if self._provider_heard_s is None else self._provider_heard_s))

    async def send(self, pcm: bytes) -> None:
        self._raise_failure()
        if not pcm:
            return  # To some servers an empty message means the end.
        self._sent_bytes += len(pcm)
        self._watch_voice(pcm)
        await self.send_audio(pcm)

    async def heard_end(self) -> None:
        await self._ended.wait()
        self._raise_failure()

    async def finish(self) -> Heard:
        self._raise_failure()
        self.finishing = True
        if not self._over():
            await self.say_goodbye()
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure()
        return Heard(" ".join(" ".join(self.parts).split()), self._words_heard, self._confidence())

    def _confidence(self) -> float:
        return min(1.0, max(0.0, fmean(self._confidences))) if self._confidences else 1.0

    # --- for the wire's own part --------------------------------------------------------------------------------------
    def sure(self, confidences: Iterable[float]) -> None:
        """The engine's own opinion of final words, each from 0 to 1."""
        self._confidences += confidences

    async def write(self, data: str | bytes) -> None:
        self._expect()
        try:
            async with asyncio.timeout(self.config.first_byte_s):
                await self._socket.send(data)
        except TimeoutError:
            raise SlowEngineError(Kind.HANG, "takes no audio") from None
        except ConnectionClosed as error:
            raise TransientEngineError(Kind.RESET, "closed while sending") from error

    def heard(self, partial: str) -> None:
        """Words came, be it ones without meaning: the engine is not deaf. An empty ``partial`` is only that."""
        self._words_heard = True
        if partial:
            self._on_partial(partial)

    def end_heard(self) -> None:
        """The engine itself says that the caller has stopped."""
        if not self.finishing:
            self._ended.set()

    def billed(self, heard_s: float) -> None:
        """The provider's own figure, instead of what we sent; one that cannot be is passed over."""
        if Usage(heard_s=heard_s).is_credible:
            self._provider_heard_s = heard_s

    # --- limits -------------------------------------------------------------------------------------------------------
    def _watch_voice(self, pcm: bytes) -> None:
        """Raises when the engine has had a second of voice, and its time, without a word of it."""
        if self._words_heard:
            return
        now = asyncio.get_running_loop().time()
        if self._voiced_at is None:
            voiced_ms = self._voice.hear(pcm)
            if voiced_ms:
                self._trace.asked()
            if voiced_ms >= NO_PARTIAL_VOICE_MS:
                self._voiced_at = now
        elif now - self._voiced_at > self.config.first_byte_s:
            raise SlowEngineError(Kind.NO_PARTIAL, "no words although the caller speaks")

    def _over(self) -> bool:
        return any(task.done() for task in self._tasks)

    def _raise_failure(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if self._over() and not self.finishing and not self.parts:
            raise TransientEngineError(Kind.RESET, "closed by the engine")

    def _expect(self) -> None:
        """An answer may be owed from now on, to which the reader under way gives no limit yet."""
        wait_s = self.wait_s()
        if self._limit is not None and self._limit.when() is None and wait_s is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + wait_s)

    # --- tasks --------------------------------------------------------------------------------------------------------
    async def _to_the_end(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        finally:
            self._ended.set()

    async def _read(self) -> None:
        """Until the final transcript, or the first failure, which is this task's exception."""
        while not await self._read_one():
            pass

    async def _read_one(self) -> bool:
        try:
            async with asyncio.timeout(self.wait_s()) as self._limit:
                raw = await self._socket.recv()
        except TimeoutError:
            if self.finishing and self.ends_well(None):
                return True
            raise SlowEngineError(Kind.HANG, "no answer to audio") from None
        except ConnectionClosed as error:
            if self.finishing and self.ends_well(error):
                return True
            raise TransientEngineError(Kind.RESET, "closed by the engine") from error
        finally:
            self._limit = None
        return self.take(raw)

    async def _ping(self) -> None:
        """For ever; a peer that is not there any more is this task's exception. A close is the reader's to judge."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(PING_EVERY_S)
                pong = await self._socket.ping()
                try:
                    async with asyncio.timeout(self.config.first_byte_s):
                        await pong
                except TimeoutError:
                    raise SlowEngineError(Kind.NO_PONG, "no pong") from None
        await asyncio.Event().wait()
