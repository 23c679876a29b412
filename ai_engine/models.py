"""The engines as operators keep them: one row for each provider of a stage, and from rows to values.

Owns the table. What must hold of an engine is ``engines/config.py``'s, for rows as for every other place; a live call
never reads this table (``engine_store.py`` brings it to workers and bridges).
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse

from ai_engine.engines.config import FIRST_BYTE_S, EngineConfig, EngineKind, Stage, problems
from ai_engine.engines.rows import EngineRows
from ai_engine.engines.trace import Price

# The fields of a row that are called otherwise in a configuration.
FIELD_OF = {"url": "address", "http2_cleartext": "http2", "price": "price_read_m"}


class StageChoice(models.TextChoices):
    STT = Stage.STT.value, "Speech to text (stt)"
    NLU = Stage.NLU.value, "Understanding (nlu)"
    TTS = Stage.TTS.value, "Speech (tts)"


class KindChoice(models.TextChoices):
    VOSK = EngineKind.VOSK.value, "Vosk server (WebSocket)"
    OPENAI = EngineKind.OPENAI.value, "OpenAI-compatible (HTTP)"
    DEEPGRAM = EngineKind.DEEPGRAM.value, "Deepgram (WebSocket)"
    ANTHROPIC = EngineKind.ANTHROPIC.value, "Anthropic messages (HTTP)"


def _price(what: str) -> models.FloatField[float, float]:
    return models.FloatField(what, default=0.0, validators=[MinValueValidator(0)])


class Engine(models.Model):
    """One provider for one stage."""

    name = models.CharField(
        max_length=60, unique=True,
        help_text="Letters, digits, - and _. Its circuit has this name: a new name is a new circuit.",
    )  # fmt: skip
    stage = models.CharField(max_length=3, choices=StageChoice.choices)
    order = models.PositiveSmallIntegerField(default=1, help_text="The lowest is tried first; the others when it fails.")
    enabled = models.BooleanField(default=True, help_text="A disabled engine is not used by calls. It can be tried.")
    kind = models.CharField("interface", max_length=20, choices=KindChoice.choices)
    address = models.CharField(
        max_length=300,
        help_text="ws:// or wss:// for Vosk and Deepgram; http:// or https://, up to and with /v1, for the others.",
    )
    model = models.CharField(max_length=120, blank=True, help_text="The provider's name of it. Empty: the provider's own choice.")
    voice = models.CharField(max_length=120, blank=True, help_text="Speech only. Empty: the flow's voice.")
    secret = models.CharField(
        "secret's variable", max_length=120, blank=True,
        help_text="The NAME of the environment variable with the key, such as LIFELINE_SECRET_OPENAI; never the key itself.",
    )  # fmt: skip
    rate_hz = models.PositiveIntegerField("sample rate (Hz)", default=8000, help_text="Of the audio that a speech engine returns.")
    http2 = models.BooleanField(
        "HTTP/2 without TLS", default=False, help_text="For an http:// address whose server speaks it, as the local engine does."
    )
    first_byte_s = models.FloatField(
        "first byte (s)", default=FIRST_BYTE_S, help_text="Silence for so long is a failure, on every leg."
    )
    total_s = models.FloatField("whole answer (s)", default=2.0, help_text="So is an answer that takes longer.")
    failures = models.PositiveSmallIntegerField(
        "failures that open its circuit", default=0, help_text="3 to 5 in a row; 0 for LIFELINE_CIRCUIT_FAILURES."
    )
    open_s = models.FloatField(
        "circuit stays open (s)", default=0.0, help_text="Until it is probed; 0 for LIFELINE_CIRCUIT_OPEN_S."
    )
    concurrency = models.PositiveIntegerField(
        "requests at once", default=0, help_text="Of each worker, as the provider allows; 0: no limit."
    )
    per_second = models.FloatField(
        "requests a second", default=0.0, help_text="Of each worker, as the provider allows; 0: no limit."
    )
    price_read_m = _price("per million tokens read")
    price_cached_m = _price("per million tokens read from the cache")
    price_written_m = _price("per million tokens written")
    price_characters_m = _price("per million characters spoken")
    price_heard_minute = _price("per minute of audio heard")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["stage", "order", "name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("admin:ai_engine_engine_change", args=[self.pk])

    def clean(self) -> None:
        try:
            config = self.config()
        except (TypeError, ValueError):
            return  # A field without a readable value, which has its own message already.
        found: dict[str, Any] = {FIELD_OF.get(field, field): text for field, text in problems(config).items()}
        if found:
            raise ValidationError(found)

    def config(self) -> EngineConfig:
        """The row as a value. Raises ValueError or TypeError when a field holds nothing that fits; checks no more."""
        return EngineConfig(
            name=self.name,
            stage=Stage(self.stage),
            kind=EngineKind(self.kind),
            url=self.address,
            model=self.model,
            voice=self.voice,
            secret=self.secret,
            rate_hz=int(self.rate_hz),
            http2_cleartext=self.http2,
            first_byte_s=float(self.first_byte_s),
            total_s=float(self.total_s),
            failures=int(self.failures),
            open_s=float(self.open_s),
            concurrency=int(self.concurrency),
            per_second=float(self.per_second),
            price=Price(
                float(self.price_read_m), float(self.price_cached_m), float(self.price_written_m),
                float(self.price_characters_m), float(self.price_heard_minute),
            ),
        )  # fmt: skip


def engine_rows() -> EngineRows:
    """Every row as a value, in order. Asks the database once; raises its errors, and ValueError for a row that no form
    can have made."""
    enabled: list[EngineConfig] = []
    disabled: list[EngineConfig] = []
    for row in Engine.objects.order_by("stage", "order", "name"):
        (enabled if row.enabled else disabled).append(row.config())
    return EngineRows(tuple(enabled), tuple(disabled))
