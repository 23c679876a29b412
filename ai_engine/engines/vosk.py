"""Speech recognition over Vosk server's WebSocket: audio up while partial results come down.

Owns the wire (a ``config`` message, binary audio, ``{"eof": 1}``; down ``{"partial": …}`` and ``{"text": …}``) and the
limits on its silence: the server answers every message, so audio without an answer means that it hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ai_engine.engines.config import EngineConfig
from ai_engine.engines.roles import Heard
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind, SlowEngineError, TransientEngineError, http_error
from ai_engine.messages import AUDIO_RATE_HZ

# What a grammar's recogniser says for speech outside its grammar: heard, but no words.
UNKNOWN_WORDS = frozenset({"[unk]", "<unk>"})
# The largest answer: word timings of a minute's speech stay below it; a server that sends more is not Vosk.
MAX_MESSAGE_BYTES = 256 * 1024
# Closing is a courtesy: the transcript is here already.
CLOSE_S = 0.2
# After the transcript that follows ``eof`` one may still come for audio sent before it.
LATE_RESULT_S = 0.15


class _Message(msgspec.Struct):
    partial: str | None = None
    text: str | None = None


class VoskRecogniser:
    """One connection an utterance. A :class:`SpeechToText`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    @contextlib.asynccontextmanager
    async def open(self, language: str, on_partial: Callable[[str], None], trace: Trace) -> AsyncIterator[VoskStream]:
        """The server's model has one language: ``language`` is not on this wire."""
        async with contextlib.AsyncExitStack() as stack:
            socket = await self._connect()
            trace.connected()
            stack.push_async_exit(_Closing(socket))
            stream = VoskStream(socket, self.config, on_partial)
            stack.push_async_callback(stream.stop)
            await stream.start()
            yield stream

    async def _connect(self) -> ClientConnection:
        secret = self.config.secret_value()
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        try:
            async with asyncio.timeout(self.config.first_byte_s):
                return await connect(
                    self.config.url, additional_headers=headers, max_size=MAX_MESSAGE_BYTES, open_timeout=None,
                    close_timeout=CLOSE_S, ping_interval=None, proxy=None, compression=None,
                )  # fmt: skip
        except TimeoutError:
            raise SlowEngineError(Kind.HANG, "no handshake") from None
        except InvalidStatus as error:
            raise http_error(error.response.status_code, error.response.headers) from error
        except InvalidHandshake as error:
            raise TransientEngineError(Kind.GARBAGE, "no WebSocket") from error
        except ConnectionRefusedError as error:
            raise TransientEngineError(Kind.REFUSED) from error
        except (OSError, EOFError, ConnectionClosed) as error:
            raise TransientEngineError(Kind.RESET, type(error).__name__) from error


class VoskStream:
    """A :class:`SpeechStream`. A task of its own reads what the server says and holds the limits."""

    def __init__(self, socket: ClientConnection, config: EngineConfig, on_partial: Callable[[str], None]) -> None:
        self._socket = socket
        self._config = config
        self._on_partial = on_partial
        self._parts: list[str] = []
        self._partial = ""
        self._unknown = False
        self._unanswered = 0
        self._finishing = False
        self._ended = asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._write(msgspec.json.encode({"config": {"sample_rate": AUDIO_RATE_HZ}}).decode())
        self._reader = asyncio.create_task(self._read())

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait((self._reader,))
            if not self._reader.cancelled():
                self._reader.exception()  # Looked at: whoever had to know of it was told.

    async def send(self, pcm: bytes) -> None:
        self._raise_failure()
        self._expect()
        await self._write(pcm)

    async def heard_end(self) -> None:
        await self._ended.wait()
        self._raise_failure()

    async def finish(self) -> Heard:
        self._raise_failure()
        self._finishing = True
        if self._reader is not None and not self._reader.done():
            self._expect()
            await self._write('{"eof" : 1}')
            await asyncio.wait((self._reader,))
            self._raise_failure()
        return Heard(self._words(), engine_heard=self._unknown or bool(self._partial))

    def _words(self) -> str:
        return " ".join(" ".join(self._parts).split())

    def _raise_failure(self) -> None:
        reader = self._reader
        if reader is None or not reader.done() or reader.cancelled():
            return
        error = reader.exception()
        if error is not None:
            raise error
        if not self._finishing and not self._parts:
            raise TransientEngineError(Kind.RESET, "closed by the engine")

    def _expect(self) -> None:
        """From now on the server owes an answer."""
        self._unanswered += 1
        if self._limit is not None and self._limit.when() is None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._config.first_byte_s)

    async def _write(self, data: str | bytes) -> None:
        try:
            async with asyncio.timeout(self._config.first_byte_s):
                await self._socket.send(data)
        except TimeoutError:
            raise SlowEngineError(Kind.HANG, "takes no audio") from None
        except ConnectionClosed as error:
            raise TransientEngineError(Kind.RESET, "closed while sending") from error

    async def _read(self) -> None:
        """Until the final transcript, or the first failure, which is this task's exception."""
        try:
            while not await self._read_one():
                pass
        finally:
            self._ended.set()

    async def _read_one(self) -> bool:
        """One message; True when it was the last that matters."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.first_byte_s if self._unanswered > 0 else None
        if self._finishing and self._unanswered <= 0:
            deadline = loop.time() + LATE_RESULT_S
        try:
            async with asyncio.timeout_at(deadline) as self._limit:
                raw = await self._socket.recv()
        except TimeoutError:
            if self._finishing and self._unanswered <= 0:
                return True
            raise SlowEngineError(Kind.HANG, "no answer to audio") from None
        except ConnectionClosed as error:
            if self._finishing and self._unanswered <= 0:
                return True
            raise TransientEngineError(Kind.RESET, "closed by the engine") from error
        finally:
            self._limit = None
        self._unanswered -= 1
        return self._take(_decode(raw))

    def _take(self, message: _Message) -> bool:
        if message.text is not None:
            words = [word for word in message.text.split() if word not in UNKNOWN_WORDS]
            self._unknown = self._unknown or len(words) < len(message.text.split())
            if words:
                self._parts.append(" ".join(words))
                if not self._finishing:
                    self._ended.set()
            if self._finishing and self._unanswered <= 0:
                return True
        elif message.partial:
            self._partial = message.partial
        heard = " ".join([*self._parts, message.partial or ""]).strip()
        if heard and not UNKNOWN_WORDS.issuperset(heard.split()):
            self._on_partial(heard)
        return False


class _Closing:
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


def _decode(raw: str | bytes) -> _Message:
    try:
        message = msgspec.json.decode(raw, type=_Message)
    except msgspec.ValidationError as error:
        raise TransientEngineError(Kind.WRONG_SCHEMA, str(error)) from error
    except msgspec.DecodeError as error:
        raise TransientEngineError(Kind.GARBAGE, "not JSON") from error
    if message.partial is None and message.text is None:
        raise TransientEngineError(Kind.WRONG_SCHEMA, "neither partial nor text")
    return message
