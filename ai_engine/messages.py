"""What travels between the bridge, the media gateway and the workers over the volatile Redis.

Owns the shapes and their encoding, one msgpack value a stream entry in the field ``m``. Does no I/O.

Streams: ``turns`` carries :class:`TurnRequest`; ``audio:{call_uuid}`` carries :class:`AudioChunk`;
``results:{bridge_id}`` carries :data:`BridgeMessage`; ``media:{gateway_id}`` carries :class:`SpeakReply`.
Audio is always int16 little-endian mono at 8000 Hz.
"""

from __future__ import annotations

import msgspec

TURNS_STREAM = "turns"
TURNS_GROUP = "workers"
FIELD = b"m"
AUDIO_RATE_HZ = 8000
CHUNK_MS = 100
# What a turn expects that is no slot's.
INTENT = "intent"


def audio_stream(call_uuid: str) -> str:
    return f"audio:{call_uuid}"


def results_stream(bridge_id: str) -> str:
    return f"results:{bridge_id}"


def media_stream(gateway_id: str) -> str:
    return f"media:{gateway_id}"


class Exchange(msgspec.Struct, frozen=True, array_like=True):
    """One earlier turn, for the model's context: who (``caller`` or ``lifeline``) said what."""

    who: str
    words: str


class TurnRequest(msgspec.Struct, frozen=True, tag=True):
    """A bridge asks for one turn. Published when the call begins to listen, before any audio.

    ``expect`` is ``intent`` or the name of the slot that was asked for. ``remaining_ms`` is how long after this
    entry was added the answer is worthless (listening limit plus turn budget); ``budget_ms`` counts from the end of speech.
    ``gateway_id`` is the media gateway that holds the call's WebSocket and takes the reply's audio.
    ``simulated``: no customer is on the line, so a drill for such calls may meet it.
    """

    turn_id: str
    call_uuid: str
    turn: int
    epoch: int
    bridge_id: str
    gateway_id: str
    flow_slug: str
    flow_version: int
    language: str
    expect: str
    slots: dict[str, str]
    history: tuple[Exchange, ...]
    listen_ms: int
    budget_ms: int
    remaining_ms: int
    simulated: bool = False


class AudioChunk(msgspec.Struct, frozen=True, array_like=True):
    """Up to 100 ms of one turn's audio. ``end`` marks the end of speech by the gateway's voice activity, or of listening."""

    turn: int
    seq: int
    pcm: bytes
    end: bool = False


# Beyond these a figure is garbage: no model reads so many tokens at once, and a turn is heard for minutes at most. A figure may be
# of any size in JSON, and what is stored adds up to whole numbers of 64 bits.
MOST_UNITS = 10_000_000
MOST_HEARD_S = 3600.0


class Usage(msgspec.Struct, frozen=True):
    """What was used of an engine. ``tokens_read`` includes ``tokens_cached``; both by the provider's own figures."""

    tokens_read: int = 0
    tokens_cached: int = 0
    tokens_written: int = 0
    characters: int = 0
    heard_s: float = 0.0

    @property
    def is_credible(self) -> bool:
        """Whether one turn can have used that: an engine's figures are its own word. What is no number is not."""
        units = (self.tokens_read, self.tokens_cached, self.tokens_written, self.characters)
        return all(0 <= count <= MOST_UNITS for count in units) and 0 <= self.heard_s <= MOST_HEARD_S

    def plus(self, other: Usage) -> Usage:
        return Usage(
            self.tokens_read + other.tokens_read,
            self.tokens_cached + other.tokens_cached,
            self.tokens_written + other.tokens_written,
            self.characters + other.characters,
            self.heard_s + other.heard_s,
        )


class StageTiming(msgspec.Struct, frozen=True):
    """What one engine did for one stage of one turn. Times in milliseconds; ``kind`` is empty when it succeeded.

    ``total_ms`` is the engine's own: for ``stt`` it begins with the end of speech, for ``tts`` it is without the waits for
    what the model had still to write. ``first_byte_ms``: of the last attempt, for ``stt`` from the first voice it was sent,
    or else from the end of speech. ``queue_ms``: waited for a place at the engine (its limits), no part of ``total_ms``.
    ``connect_ms``: None on a connection that was there. ``cache``: what answered instead of an engine (``engine`` is empty
    then). ``cost`` is in the operator's currency.
    """

    stage: str
    engine: str
    attempts: int
    total_ms: float
    first_byte_ms: float | None = None
    kind: str = ""
    probe: bool = False
    queue_ms: float = 0.0
    connect_ms: float | None = None
    cache: str = ""
    usage: Usage = Usage()
    cost: float = 0.0


class MediaConnected(msgspec.Struct, frozen=True, tag=True):
    """``epoch``: of the owner who had the stream started; a call that came back has a stream of its own."""

    call_uuid: str
    gateway_id: str
    epoch: int


class MediaClosed(msgspec.Struct, frozen=True, tag=True):
    call_uuid: str
    gateway_id: str
    epoch: int


class MediaReport(msgspec.Struct, frozen=True, tag=True):
    """Sent by the gateway every 250 ms while a call listens: proof that audio still arrives."""

    call_uuid: str
    turn: int
    frames: int


class SpeechStarted(msgspec.Struct, frozen=True, tag=True):
    call_uuid: str
    turn: int


class SpeechEnded(msgspec.Struct, frozen=True, tag=True):
    """The caller has stopped speaking: the turn's budget runs from here. ``source`` is ``vad`` or ``engine``."""

    call_uuid: str
    turn: int
    source: str


class TurnTaken(msgspec.Struct, frozen=True, tag=True):
    """``drill``: the drill that meets this turn, if any; what fails in it was made to fail."""

    call_uuid: str
    turn: int
    worker_id: str
    queue_ms: float
    drill: str = ""


class TurnPartial(msgspec.Struct, frozen=True, tag=True):
    call_uuid: str
    turn: int
    transcript: str


class TurnReplying(msgspec.Struct, frozen=True, tag=True):
    """One sentence of a turn's reply is rendered and handed to the gateway, before the turn is done; ``part`` counts from 1.

    Its file is announced by the switch, in the same order. ``intent`` and what goes with it are as in the result to come;
    ``length_ms``: how long the sentence lasts, so that the bridge knows how much of it was heard.
    """

    call_uuid: str
    turn: int
    part: int
    transcript: str
    intent: str
    confidence: float
    slots: dict[str, str]
    words: str
    length_ms: int


class TurnDone(msgspec.Struct, frozen=True, tag=True):
    """A turn's result. ``intent`` names an intent of the flow or is empty (not understood); ``slots`` only the flow's own.

    ``reply`` is what :class:`TurnReplying` has told of already; ``reply_audio`` says that there was any.
    """

    call_uuid: str
    turn: int
    transcript: str
    intent: str
    confidence: float
    slots: dict[str, str]
    reply: str
    reply_audio: bool
    stages: tuple[StageTiming, ...]
    worker_id: str = ""


class TurnFailed(msgspec.Struct, frozen=True, tag=True):
    """No engine of ``stage`` answered in time. What was understood before the failure is kept."""

    call_uuid: str
    turn: int
    stage: str
    kind: str
    attempts: int
    stages: tuple[StageTiming, ...]
    transcript: str = ""
    intent: str = ""
    slots: dict[str, str] = {}
    worker_id: str = ""
    confidence: float = 0.0


BridgeMessage = (
    MediaConnected
    | MediaClosed
    | MediaReport
    | SpeechStarted
    | SpeechEnded
    | TurnTaken
    | TurnPartial
    | TurnReplying
    | TurnDone
    | TurnFailed
)


class SpeakReply(msgspec.Struct, frozen=True, tag=True):
    """A worker hands a reply's audio to the gateway that holds the call."""

    call_uuid: str
    turn: int
    pcm: bytes


_encoder = msgspec.msgpack.Encoder()
_request = msgspec.msgpack.Decoder(TurnRequest)
_chunk = msgspec.msgpack.Decoder(AudioChunk)
_bridge = msgspec.msgpack.Decoder(BridgeMessage)
_media = msgspec.msgpack.Decoder(SpeakReply)


def encode(message: TurnRequest | AudioChunk | SpeakReply | BridgeMessage) -> bytes:
    return _encoder.encode(message)


def decode_request(data: bytes) -> TurnRequest:
    """Raises one of :data:`callflows.definition.errors.UNREADABLE`, as do the others of this family."""
    return _request.decode(data)


def decode_chunk(data: bytes) -> AudioChunk:
    return _chunk.decode(data)


def decode_bridge_message(data: bytes) -> BridgeMessage:
    message: BridgeMessage = _bridge.decode(data)
    return message


def decode_media_message(data: bytes) -> SpeakReply:
    return _media.decode(data)


class Heartbeat(msgspec.Struct, frozen=True):
    """The value of ``worker:{id}``, as JSON. ``engines_problem``: why it does not use the newest engines. ``has_namesake``:
    another worker that lives has the same name."""

    turns: int
    capacity: int
    engines_problem: str = ""
    has_namesake: bool = False
