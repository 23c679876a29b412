"""A flow's draft as the value that would be published, and all the words that it must be able to say.

Owns the reading of a draft's rows. Renders and stores nothing: a phrase whose audio does not exist yet already has its
file's name, because that follows from the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from django.db.models import Prefetch

from callflows import rendering
from callflows.definition.flow import (
    CLOSED,
    READ_BACK,
    YES_OR_NO,
    Choice,
    FlowVersion,
    Intent,
    Phrase,
    Policy,
    Slot,
    SlotKind,
    SystemPhrases,
)
from callflows.definition.hours import Hours
from callflows.hours_text import HoursTextError, read_hours
from callflows.models import Flow, KeypadMapping, Prompt, lines
from callflows.models import Intent as IntentRow
from callflows.models import Slot as SlotRow
from ivr_fallback.spoken import SpokenError, fragments, literal_pieces

# Phrases that a flow may leave empty.
DEFAULTS = {"read_back": READ_BACK, "yes_or_no": YES_OR_NO, "closed": CLOSED}


@dataclass(frozen=True, slots=True)
class Audio:
    """What the database holds of one text's audio."""

    file: str
    duration_ms: int


class AudioIndex:
    """Finds the audio of a text in one voice: an uploaded recording of the same words first, else the rendered one."""

    def __init__(self, texts: Iterable[str], voice: str) -> None:
        self._voice = voice
        uploads = Prompt.objects.filter(source=Prompt.Source.UPLOADED, voice=voice, preferred=True).order_by("pk")
        rendered = Prompt.objects.filter(sha256__in={rendering.rendered_hash(text, voice) for text in texts})
        self._uploaded = {_key(row.text): Audio(row.file, row.duration_ms) for row in uploads.defer("wav")}
        self._rendered = {row.file: row.duration_ms for row in rendered.defer("wav")}

    def phrase(self, text: str) -> Phrase:
        if not text:
            return Phrase("", "")
        upload = self._uploaded.get(_key(text))
        if upload is not None:
            return Phrase(text, upload.file, upload.duration_ms)
        file = f"{rendering.rendered_hash(text, self._voice)}.wav"
        return Phrase(text, file, self._rendered.get(file, 0))

    def missing(self, texts: Iterable[str]) -> list[str]:
        """The texts that have no audio yet, each once."""
        known = self._rendered.keys() | {audio.file for audio in self._uploaded.values()}
        return [text for text in dict.fromkeys(texts) if text and self.phrase(text).file not in known]


@dataclass(frozen=True, slots=True)
class Draft:
    """A flow's rows, read once."""

    flow: Flow
    intents: tuple[IntentRow, ...]
    slots: tuple[SlotRow, ...]

    @classmethod
    def read(cls, flow: Flow) -> Draft:
        fresh = Flow.objects.get(pk=flow.pk)
        ordered_slots = Prefetch("slots", queryset=SlotRow.objects.order_by("position", "pk"))
        intents = fresh.intents.select_related("keypad").prefetch_related("outcomes", ordered_slots)
        return cls(fresh, tuple(intents), tuple(fresh.slots.prefetch_related("choices")))

    def pieces(self) -> tuple[str, ...]:
        """The words that are looked up by their text (``FlowVersion.phrases``), each once in any letter case."""
        found: dict[str, str] = {}
        for words in self._pieces():
            found.setdefault(_key(words), words)
        return tuple(found.values())

    def texts(self) -> tuple[str, ...]:
        """Everything that must have audio, each once."""
        system = (_system(self.flow, name) for name in SystemPhrases.__struct_fields__)
        menus = (text for intent in self.intents for text in (_keypad(intent).menu_prompt.strip(), _confirm(intent)))
        asks = (text.strip() for slot in self.slots for text in (slot.ask, slot.ask_keypad))
        return tuple(text for text in dict.fromkeys((*system, *menus, *asks, *self.pieces())) if text)

    def version(self, audio: AudioIndex, number: int) -> FlowVersion:
        flow = self.flow
        return FlowVersion(
            slug=flow.slug,
            number=number,
            name=flow.name,
            destination_number=flow.destination_number.strip(),
            language=flow.language,
            voice=flow.voice,
            system=SystemPhrases(**{name: audio.phrase(_system(flow, name)) for name in SystemPhrases.__struct_fields__}),
            intents=tuple(_intent(row, audio) for row in self.intents),
            slots=tuple(_slot(row, audio) for row in self.slots),
            phrases={_key(words): audio.phrase(words) for words in self.pieces()},
            human_destination=flow.human_destination.strip(),
            turn_budget_ms=flow.turn_budget_ms,
            listen_limit_ms=flow.listen_limit_ms,
            hours=self._hours(),
        )

    def _hours(self) -> Hours | None:
        with suppress(HoursTextError):  # ``publishing.check`` says so.
            return read_hours(self.flow.opening_zone, self.flow.opening_week, self.flow.special_days)
        return None

    def _pieces(self) -> Iterator[str]:
        with suppress(SpokenError):  # Parity says so.
            yield from fragments(self.flow.language)
        for intent in self.intents:
            for outcome in intent.outcomes.all():
                with suppress(SpokenError):  # Parity says so.
                    yield from literal_pieces(outcome.template)
        for slot in self.slots:
            yield from (choice.words.strip() for choice in slot.choices.all())
        yield from lines(self.flow.extra_phrases)


def _key(words: str) -> str:
    return words.strip().lower()


def _system(flow: Flow, name: str) -> str:
    text: str = getattr(flow, name).strip()
    return text or DEFAULTS.get(name, "")


def _confirm(intent: IntentRow) -> str:
    """Its own question, or one made from its label; none when it has no label either."""
    label = intent.label.strip().rstrip(".?!")
    return intent.confirm.strip() or (f"Did you want this: {label}?" if label else "")


def _keypad(intent: IntentRow) -> KeypadMapping:
    """The intent's mapping, or an empty one: a draft may be unfinished."""
    return getattr(intent, "keypad", None) or KeypadMapping()


def _intent(row: IntentRow, audio: AudioIndex) -> Intent:
    keypad = _keypad(row)
    return Intent(
        name=row.name,
        label=row.label,
        policy=Policy(row.policy),
        utterances=row.utterance_lines(),
        digit=keypad.digit,
        menu=audio.phrase(keypad.menu_prompt.strip()),
        slots=tuple(slot.name for slot in row.slots.all()),
        action=row.action.strip(),
        outcomes={outcome.name: outcome.template for outcome in row.outcomes.all()},
        destination=row.destination.strip(),
        confirm=audio.phrase(_confirm(row)),
        careful=row.careful,
    )


def _slot(row: SlotRow, audio: AudioIndex) -> Slot:
    return Slot(
        name=row.name,
        kind=SlotKind(row.kind),
        label=row.label,
        ask=audio.phrase(row.ask.strip()),
        ask_keypad=audio.phrase(row.ask_keypad.strip()),
        min_length=row.min_length,
        max_length=row.max_length,
        sensitive=row.sensitive,
        choices=tuple(Choice(choice.value, choice.digit, choice.words.strip()) for choice in row.choices.all()),
    )
