"""Speech recognition over Vosk server's WebSocket: audio up while partial results come down.

Owns the wire: a ``config`` message, binary audio, ``{"eof": 1}``; down ``{"partial": …}`` and ``{"text": …}``. The
server answers every message, so audio without an answer means that it hangs.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ai_engine.engines.config import EngineConfig
from ai_engine.engines.speech_socket import Closing, SocketStream, open_socket
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind, TransientEngineError
from ai_engine.messages import AUDIO_RATE_HZ, INTENT
from callflows.definition.errors import UNREADABLE

# What a grammar's recogniser says for speech outside its grammar: heard, but no words.
UNKNOWN_WORDS = frozenset({"[unk]", "<unk>"})
# After the transcript that follows ``eof`` one may still come for audio sent before it.
LATE_RESULT_S = 0.15


class _Word(msgspec.Struct):
    conf: float = 1.0


class _Message(msgspec.Struct):
    """``result`` has the words of ``text``, when the server was told to send them."""

    partial: str | None = None
    text: str | None = None
    result: list[_Word] = []


class VoskRecogniser:
    """One connection an utterance. A :class:`SpeechToText`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    @contextlib.asynccontextmanager
    async def open(
        self, language: str, on_partial: Callable[[str], None], trace: Trace, *, expect: str = INTENT
    ) -> AsyncIterator[VoskStream]:
        """The server's model has one language: ``language`` is not on this wire. ``expect`` is for our own engine, which
        listens for digits where some were asked for; Vosk's server passes over it.
        """
        secret = self.config.secret_value()
        async with contextlib.AsyncExitStack() as stack:
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            socket = await open_socket(self.config, self.config.url, headers)
            trace.connected()
            stack.push_async_exit(Closing(socket))
            stream = VoskStream(socket, self.config, on_partial, trace, expect)
            stack.push_async_callback(stream.stop)
            await stream.start()
            yield stream


class VoskStream(SocketStream):
    _text_after_end = False

    def __init__(
        self, socket: ClientConnection, config: EngineConfig, on_partial: Callable[[str], None], trace: Trace, expect: str
    ) -> None:
        super().__init__(socket, config, on_partial, trace)
        self._asked_for = expect

    async def say_hello(self) -> None:
        hello = {"config": {"sample_rate": AUDIO_RATE_HZ, "expect": self._asked_for}}
        await self.write(msgspec.json.encode(hello).decode())

    async def send_audio(self, pcm: bytes) -> None:
        self.owed += 1
        await self.write(pcm)

    async def say_goodbye(self) -> None:
        self.owed += 1
        await self.write('{"eof" : 1}')

    def wait_s(self) -> float | None:
        if self.finishing:
            return LATE_RESULT_S if self._answered() else self.config.first_byte_s
        return self.config.first_byte_s if self.owed > 0 else None

    def ends_well(self, closed: ConnectionClosed | None) -> bool:
        return self._answered()

    def _answered(self) -> bool:
        """Every message, and the end of the audio with a text: a server that only drips partials never is done."""
        return self.owed <= 0 and self._text_after_end

    def take(self, raw: str | bytes) -> bool:
        message = _decode(raw)
        self.owed -= 1
        if message.text is not None:
            self._text_after_end = self.finishing
            words = [word for word in message.text.split() if word not in UNKNOWN_WORDS]
            if message.text.split():
                self.heard("")
            if words:
                self.parts.append(" ".join(words))
                self.sure(word.conf for word in message.result)
                self.end_heard()
            if self.finishing and self.owed <= 0:
                return True
        heard = " ".join([*self.parts, message.partial or ""]).strip()
        if heard:
            self.heard("" if UNKNOWN_WORDS.issuperset(heard.split()) else heard)
        return False


def _decode(raw: str | bytes) -> _Message:
    try:
        message = msgspec.json.decode(raw, type=_Message)
    except msgspec.ValidationError as error:
        raise TransientEngineError(Kind.WRONG_SCHEMA, str(error)) from error
    except UNREADABLE as error:
        raise TransientEngineError(Kind.GARBAGE, "not JSON") from error
    if message.partial is None and message.text is None:
        raise TransientEngineError(Kind.WRONG_SCHEMA, "neither partial nor text")
    return message
