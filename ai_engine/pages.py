"""The admin's pages for trying an engine: one page with the words to try, and the answer, which htmx fetches into it.

Owns what these pages need and who may see them. Mounted by ``admin.py``; the trying itself is ``trial.py``'s.
"""

from __future__ import annotations

import base64
import io
import threading
import wave
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from ai_engine.engines.config import Stage
from ai_engine.messages import AUDIO_RATE_HZ
from ai_engine.models import Engine
from ai_engine.trial import MOST_WORDS_CHARS, TRIAL_S, Trial, canned_words, try_engine
from ai_engine.trial_words import explain
from callflows.definition.errors import BadSnapshot
from callflows.definition.flow import FlowVersion, decode_snapshot

MAY_TRY = "ai_engine.change_engine"
# Each holds a thread of the console for up to eleven seconds, and may cost money.
AT_ONCE = 4
_places = threading.BoundedSemaphore(AT_ONCE)


def try_page(request: HttpRequest, engine_id: int) -> HttpResponse:
    """The words on GET; on POST the answer, alone for htmx and with the whole page without JavaScript."""
    if not request.user.has_perm(MAY_TRY):
        raise PermissionDenied
    engine = get_object_or_404(Engine, pk=engine_id)
    flow = published_flow()
    words = canned_words(Stage(engine.stage), flow)
    shown: dict[str, Any] = {}
    if request.method == "POST":
        words = " ".join(request.POST.get("words", "").split())[:MOST_WORDS_CHARS] or words
        shown = _tried(engine, words, flow)
        if request.headers.get("HX-Request") == "true":
            return render(request, "ai_engine/_tried.html", shown)
    context = {
        **admin.site.each_context(request),
        **shown,
        "title": f"Try it: {engine.name}",
        "engine": engine,
        "words": words,
        "most_chars": MOST_WORDS_CHARS,
        "limit_s": TRIAL_S,
        "asks": _ASKS[Stage(engine.stage)],
    }
    return render(request, "ai_engine/try_engine.html", context)


def published_flow() -> FlowVersion | None:
    """The first flow that calls on this machine use, from the file: the AI side knows flows by their definition."""
    try:
        return next(iter(decode_snapshot(settings.LIFELINE_FLOW_SNAPSHOT.read_bytes()).flows), None)
    except (BadSnapshot, OSError):
        return None


def _tried(engine: Engine, words: str, flow: FlowVersion | None) -> dict[str, Any]:
    if not _places.acquire(blocking=False):
        return {"busy": AT_ONCE}
    try:
        trial = try_engine(engine.config(), words, flow, tuple(settings.LIFELINE_ENGINE_HOSTS))
    finally:
        _places.release()
    happened, to_do = explain(trial)
    return {
        "trial": trial,
        "happened": "" if trial.ok else happened,
        "to_do": "" if trial.ok else to_do,
        "times": _times(trial),
        "spoken_url": _audio_url(trial.spoken),
        "audio_url": _audio_url(trial.audio),
        "audio_s": len(trial.audio) / 2 / AUDIO_RATE_HZ,
        "priced": any(getattr(engine, name) for name in engine_prices()),
    }


def engine_prices() -> list[str]:
    return [field.name for field in Engine._meta.get_fields() if field.name.startswith("price_")]


def _times(trial: Trial) -> list[tuple[str, float]]:
    named = (
        ("Connected after", trial.connect_ms),
        (_FIRST[trial.config.stage], trial.first_byte_ms),
        ("Whole answer after the end of speech", trial.after_speech_ms),
        ("Whole answer after", trial.total_ms if trial.after_speech_ms is None else None),
    )
    return [(name, value) for name, value in named if value is not None]


def _audio_url(pcm: bytes) -> str:
    """A WAV in the page itself: it is kept nowhere, so there is nothing to fetch it from."""
    if not pcm:
        return ""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(AUDIO_RATE_HZ)
        wav.writeframes(pcm)
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"


_FIRST = {Stage.STT: "First partial after", Stage.NLU: "First token after", Stage.TTS: "First sound after"}
_ASKS = {
    Stage.STT: "The words are spoken by the local voice, at a caller's pace, as a telephone sounds.",
    Stage.NLU: "The words are understood as a caller's first ones, with the published flow's intents.",
    Stage.TTS: "The words are spoken by the engine.",
}
