"""Speech recognition over Deepgram's streaming WebSocket (``/v1/listen``): audio up while interim results come down.

Owns the wire as Deepgram documents it (developers.deepgram.com, "Live Audio"): the query, ``Authorization: Token``,
``Results`` with ``is_final`` and ``speech_final``, ``CloseStream`` and the ``Metadata`` that follows it, and close frames
as errors. No answer is owed to audio, so a deaf server shows by no words and no pong; one is owed to ``CloseStream``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from ai_engine.engines.config import EngineConfig
from ai_engine.engines.speech_socket import Closing, SocketStream, open_socket
from ai_engine.engines.trace import Trace
from ai_engine.engines.transcripts import plain_words
from ai_engine.errors import Kind, TransientEngineError
from ai_engine.messages import AUDIO_RATE_HZ, INTENT
from callflows.definition.errors import UNREADABLE

PATH = "/v1/listen"
# The pause after which Deepgram says that the caller has stopped. Its own default of 10 ms cuts a number in two; our own
# voice detection ends a turn after longer than this anyway, and the earlier of the two counts.
ENDPOINTING_MS = 500

T = TypeVar("T")


class _Alternative(msgspec.Struct):
    transcript: str
    confidence: float = 1.0


class _Channel(msgspec.Struct):
    alternatives: list[_Alternative]


class _Message(msgspec.Struct):
    """Types that are not known (``SpeechStarted``, ``UtteranceEnd``, whatever comes later) are passed over.
    ``channel`` is an object in results and a list of numbers in some others, so it is read only where it is needed.
    """

    type: str
    is_final: bool = False
    speech_final: bool = False
    channel: msgspec.Raw = msgspec.Raw(b"null")
    duration: float = 0.0
    description: str = ""


def listen_url(config: EngineConfig, language: str) -> str:
    """The engine's address with the query of a telephone call; parameters that it has already are kept (a key term, a
    pause), those that say what the audio is are ours.
    """
    parts = urlsplit(config.url)
    query = {"interim_results": "true", "endpointing": str(ENDPOINTING_MS), "numerals": "true", "language": language}
    if config.model:
        query["model"] = config.model
    ours = {"encoding": "linear16", "sample_rate": str(AUDIO_RATE_HZ), "channels": "1"}
    given = parse_qsl(parts.query)
    taken = {name for name, _ in given}
    pairs = [*given, *((name, value) for name, value in query.items() if name not in taken)]
    pairs = [(name, value) for name, value in pairs if name not in ours]
    path = parts.path if parts.path.strip("/") else PATH
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode([*pairs, *ours.items()]), ""))


class DeepgramRecogniser:
    """One connection an utterance. A :class:`SpeechToText`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    @contextlib.asynccontextmanager
    async def open(
        self, language: str, on_partial: Callable[[str], None], trace: Trace, *, expect: str = INTENT
    ) -> AsyncIterator[DeepgramStream]:
        secret = self.config.secret_value()
        async with contextlib.AsyncExitStack() as stack:
            headers = {"Authorization": f"Token {secret}"} if secret else {}
            socket = await open_socket(self.config, listen_url(self.config, language), headers)
            trace.connected()
            stack.push_async_exit(Closing(socket))
            stream = DeepgramStream(socket, self.config, on_partial, trace)
            stack.push_async_callback(stream.stop)
            await stream.start()
            yield stream


class DeepgramStream(SocketStream):
    async def say_hello(self) -> None:
        """The address said it all."""

    async def send_audio(self, pcm: bytes) -> None:
        await self.write(pcm)

    async def say_goodbye(self) -> None:
        self.owed = 1
        await self.write('{"type":"CloseStream"}')

    def wait_s(self) -> float | None:
        return self.config.first_byte_s if self.owed else None

    def ends_well(self, closed: ConnectionClosed | None) -> bool:
        return isinstance(closed, ConnectionClosedOK)

    def take(self, raw: str | bytes) -> bool:
        message = _decode(raw, _Message)
        match message.type:
            case "Results":
                self._take_results(message)
            case "Metadata":
                if self.finishing:
                    self.billed(message.duration)
                return self.finishing
            case "Error":
                raise TransientEngineError(Kind.HTTP_500, message.description)
        return False

    def _take_results(self, message: _Message) -> None:
        channel = _decode(bytes(message.channel), _Channel)
        if not channel.alternatives:
            raise TransientEngineError(Kind.WRONG_SCHEMA, "results without an alternative")
        words = plain_words(channel.alternatives[0].transcript)
        heard = " ".join([*self.parts, words]).strip()
        if heard:
            self.heard(heard)
        if message.is_final and words:
            self.parts.append(words)
            self.sure([channel.alternatives[0].confidence] * len(words.split()))
        if message.speech_final and self.parts:
            self.end_heard()


def _decode(raw: str | bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as error:
        raise TransientEngineError(Kind.WRONG_SCHEMA, str(error)) from error
    except UNREADABLE as error:
        raise TransientEngineError(Kind.GARBAGE, "not JSON") from error
