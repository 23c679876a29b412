"""Which engines there are: one frozen value each, read from the settings' JSON or the three parts of the local engine.

Owns the reading and its error messages. A secret is only ever a *name* here, of an environment variable that begins
with ``LIFELINE_SECRET_``; :meth:`EngineConfig.secret_value` reads it when a connection is built.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from ai_engine.engines.trace import Price
from ai_engine.errors import BadEngineConfigError

SECRET_PREFIX = "LIFELINE_SECRET_"


class Stage(StrEnum):
    STT = "stt"
    NLU = "nlu"
    TTS = "tts"


class EngineKind(StrEnum):
    VOSK = "vosk"
    OPENAI = "openai"
    DEEPGRAM = "deepgram"
    ANTHROPIC = "anthropic"


SERVES: dict[EngineKind, frozenset[Stage]] = {
    EngineKind.VOSK: frozenset({Stage.STT}),
    EngineKind.OPENAI: frozenset(Stage),
    EngineKind.DEEPGRAM: frozenset({Stage.STT}),
    EngineKind.ANTHROPIC: frozenset({Stage.NLU}),
}


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider for one stage. Engines of a stage are tried in the order of the list.

    ``rate_hz`` is the sample rate of the audio that a speech engine returns; ``http2_cleartext`` speaks HTTP/2 without
    TLS to an ``http://`` address (prior knowledge), which the local engine does and most other servers do not.
    ``first_byte_s``: silence for this long is a failure. ``total_s``: so is an answer that drips. ``failures`` in a row
    open its circuit for ``open_s``; 0 means the setting of all. ``concurrency`` requests at once and ``per_second`` begun
    are the provider's limits as we keep them; 0 means none. A request may wait for its place only as long as it may wait
    for its first byte.
    """

    name: str
    stage: Stage
    kind: EngineKind
    url: str
    model: str = ""
    voice: str = ""
    secret: str = ""
    rate_hz: int = 8000
    http2_cleartext: bool = False
    first_byte_s: float = 1.2
    total_s: float = 2.0
    failures: int = 0
    open_s: float = 0.0
    concurrency: int = 0
    per_second: float = 0.0
    price: Price = Price()

    def secret_value(self, environ: Mapping[str, str] | None = None) -> str:
        """Empty when the engine needs none. Raises :class:`BadEngineConfigError` when it is named but not set."""
        if not self.secret:
            return ""
        value = (os.environ if environ is None else environ).get(self.secret, "")
        if not value:
            raise BadEngineConfigError(f"engine {self.name}: the environment variable {self.secret} is not set")
        return value


def configured_engines(settings_json: str, *, host: str, stt_port: int, http_port: int) -> tuple[EngineConfig, ...]:
    """The engines of LIFELINE_ENGINES, or the local engine's three when it is empty.

    Raises :class:`BadEngineConfigError` that says which entry is wrong and how to mend it.
    """
    if not settings_json.strip():
        return local_engines(host, stt_port, http_port)
    try:
        engines = msgspec.json.decode(settings_json, type=tuple[EngineConfig, ...])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadEngineConfigError(f"LIFELINE_ENGINES: {error}") from error
    _check(engines)
    return engines


def local_engines(host: str, stt_port: int, http_port: int) -> tuple[EngineConfig, ...]:
    http = f"http://{host}:{http_port}/v1"
    return (
        EngineConfig("local-stt", Stage.STT, EngineKind.VOSK, f"ws://{host}:{stt_port}"),
        EngineConfig("local-nlu", Stage.NLU, EngineKind.OPENAI, http, model="local", http2_cleartext=True),
        EngineConfig("local-tts", Stage.TTS, EngineKind.OPENAI, http, model="local", http2_cleartext=True),
    )


def _check(engines: Sequence[EngineConfig]) -> None:
    seen: set[str] = set()
    for engine in engines:
        if not engine.name.replace("-", "").replace("_", "").isalnum() or engine.name in {*Stage, "turns"}:
            raise BadEngineConfigError(f"LIFELINE_ENGINES: {engine.name!r} is no name: use letters, digits and - _")
        if engine.name in seen:
            raise BadEngineConfigError(f"LIFELINE_ENGINES: two engines are called {engine.name}")
        seen.add(engine.name)
        if engine.secret and not engine.secret.startswith(SECRET_PREFIX):
            raise BadEngineConfigError(f"engine {engine.name}: a secret's name begins with {SECRET_PREFIX}")
        schemes = ("ws://", "wss://") if engine.kind in (EngineKind.VOSK, EngineKind.DEEPGRAM) else ("http://", "https://")
        if not engine.url.startswith(schemes):
            raise BadEngineConfigError(f"engine {engine.name}: {engine.kind} needs a {' or '.join(schemes)} address")
        if engine.stage not in SERVES[engine.kind]:
            raise BadEngineConfigError(f"engine {engine.name}: {engine.kind} cannot serve the stage {engine.stage}")
        if not 8000 <= engine.rate_hz <= 48000:
            raise BadEngineConfigError(f"engine {engine.name}: rate_hz is {engine.rate_hz}, use 8000 to 48000")
        if engine.failures not in (0, 3, 4, 5):
            raise BadEngineConfigError(f"engine {engine.name}: failures is {engine.failures}, use 3 to 5, or 0 for the setting")
        if not 0 <= engine.open_s <= 3600:
            raise BadEngineConfigError(f"engine {engine.name}: open_s is {engine.open_s:g}, use up to 3600, or 0 for the setting")
        if engine.concurrency < 0 or engine.per_second < 0:
            raise BadEngineConfigError(f"engine {engine.name}: concurrency and per_second are 0 (no limit) or more")
        if not 0 < engine.first_byte_s <= engine.total_s <= 30:
            raise BadEngineConfigError(f"engine {engine.name}: 0 < first_byte_s <= total_s <= 30 must hold")
