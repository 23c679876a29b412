"""Which engines there are: one frozen value each, read from the settings' JSON or the three parts of the local engine.

Owns the reading and what must hold of an engine, wherever it is written: in a setting, a row or a file. A secret is only
ever a *name* here, of an environment variable that begins with ``LIFELINE_SECRET_``; :meth:`EngineConfig.secret_value`
reads it when a connection is built.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from math import inf

import msgspec

from ai_engine.engines.addresses import address_problem
from ai_engine.engines.trace import Price
from ai_engine.errors import BadEngineConfigError
from callflows.definition.errors import UNREADABLE

SECRET_PREFIX = "LIFELINE_SECRET_"
SECRET_NAME = re.compile(rf"{SECRET_PREFIX}[A-Z0-9_]+")
# A circuit's name is also a word of a command line and a part of a Redis key.
ENGINE_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
# Silence for so long costs a caller as much, and the stage's next engine still has its time within every budget.
FIRST_BYTE_S = 0.8
# The local engine shares the machine with everything else; a busy one is no reason to open its circuit.
LOCAL_FIRST_BYTE_S = 1.2
# Far longer than any turn waits; a limit that is never reached would hide a hang.
MOST_TOTAL_S = 30.0
# An hour: whoever wants an engine away for longer disables it.
MOST_OPEN_S = 3600.0


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
    first_byte_s: float = FIRST_BYTE_S
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
    return setting_engines(settings_json) if settings_json.strip() else local_engines(host, stt_port, http_port)


def setting_engines(settings_json: str) -> tuple[EngineConfig, ...]:
    """The engines of LIFELINE_ENGINES. Raises like :func:`configured_engines`."""
    try:
        engines = msgspec.json.decode(settings_json, type=tuple[EngineConfig, ...])
    except UNREADABLE as error:
        raise BadEngineConfigError(f"LIFELINE_ENGINES: {error}") from error
    check(engines, "LIFELINE_ENGINES")
    return engines


def local_engines(host: str, stt_port: int, http_port: int) -> tuple[EngineConfig, ...]:
    http = f"http://{host}:{http_port}/v1"
    first_byte_s = LOCAL_FIRST_BYTE_S
    return (
        EngineConfig("local-stt", Stage.STT, EngineKind.VOSK, f"ws://{host}:{stt_port}", first_byte_s=first_byte_s),
        *(
            EngineConfig(
                f"local-{stage}", stage, EngineKind.OPENAI, http, model="local", http2_cleartext=True, first_byte_s=first_byte_s
            )
            for stage in (Stage.NLU, Stage.TTS)
        ),
    )


def check(engines: Iterable[EngineConfig], source: str) -> None:
    """Raises :class:`BadEngineConfigError` for the first engine that cannot be used, or whose name is there twice."""
    seen: set[str] = set()
    for engine in engines:
        for problem in problems(engine).values():
            raise BadEngineConfigError(f"{source}: engine {engine.name}: {problem}")
        if engine.name in seen:
            raise BadEngineConfigError(f"{source}: two engines are called {engine.name}; give each a name of its own")
        seen.add(engine.name)


def problems(engine: EngineConfig) -> dict[str, str]:
    """What is wrong with it and how to mend it, by the field's name; empty when it can be used."""
    found = {
        "name": _name_problem(engine.name),
        "url": _address_problem(engine),
        "kind": "" if engine.stage in SERVES[engine.kind] else f"{engine.kind} cannot serve the stage {engine.stage}",
        "secret": "" if not engine.secret or SECRET_NAME.fullmatch(engine.secret) else (
            f"a secret's name begins with {SECRET_PREFIX} and goes on with capitals, digits and _; never the secret itself"
        ),
        "rate_hz": "" if 8000 <= engine.rate_hz <= 48000 else f"rate_hz is {engine.rate_hz}, use 8000 to 48000",
        "first_byte_s": "" if 0 < engine.first_byte_s <= engine.total_s else "0 < first_byte_s <= total_s must hold",
        "total_s": "" if engine.total_s <= MOST_TOTAL_S else f"total_s is {engine.total_s:g}, use {MOST_TOTAL_S:g} at most",
        "failures": "" if engine.failures in (0, 3, 4, 5) else (
            f"failures is {engine.failures}, use 3 to 5, or 0 for the setting"
        ),
        "open_s": "" if 0 <= engine.open_s <= MOST_OPEN_S else (
            f"open_s is {engine.open_s:g}, use up to {MOST_OPEN_S:g}, or 0 for the setting"
        ),
        "concurrency": "" if engine.concurrency >= 0 else "concurrency is 0 (no limit) or more",
        "per_second": "" if 0 <= engine.per_second < inf else "per_second is 0 (no limit) or more",
        "price": "" if all(0 <= price < inf for price in msgspec.structs.astuple(engine.price)) else (
            "a price is 0 or more"
        ),
    }  # fmt: skip
    return {field: problem for field, problem in found.items() if problem}


def _name_problem(name: str) -> str:
    if name in {*Stage, "turns"} or not ENGINE_NAME.fullmatch(name):
        return f"{name!r} is no name: use letters, digits and - _"
    return ""


def _address_problem(engine: EngineConfig) -> str:
    schemes = ("ws://", "wss://") if engine.kind in (EngineKind.VOSK, EngineKind.DEEPGRAM) else ("http://", "https://")
    if not engine.url.startswith(schemes):
        return f"{engine.kind} needs a {' or '.join(schemes)} address"
    return address_problem(engine.url)
