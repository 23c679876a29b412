"""What a call should do, as rows: a flow's draft (edited freely), its published versions (never changed) and its audio.

Owns the tables and what must hold in them. Does not publish (``publishing.py``), render (``rendering.py``) or judge
(``ivr_fallback.parity``): a draft may be unfinished, and is saved as it is.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.functional import cached_property

from callflows import hours_text
from callflows.definition import flow as definition
from callflows.definition.codec import decode_version
from callflows.definition.errors import BadSnapshot
from callflows.definition.hours import Part
from callflows.definition.kept import CHOICE_VALUE, CHOICE_VALUE_WORDS
from callflows.errors import VersionIsFinalError

NAME_VALIDATOR = RegexValidator(
    r"^[a-z][a-z0-9_]{0,39}$", "Begin with a small letter; use small letters, digits and _ only, 40 at most."
)
KEY_VALIDATOR = RegexValidator(r"^[1-9]$", "Use one of the keys 1 to 9: 0 leads to a person, * to the menu.")
VALUE_VALIDATOR = RegexValidator(rf"^{CHOICE_VALUE.pattern}$", f"It {CHOICE_VALUE_WORDS}.")
VOICE_VALIDATOR = RegexValidator(r"^[A-Za-z0-9_+-]{1,64}$", "Use the name of an espeak-ng voice, such as en-us.")

HOURS_FIELDS = {Part.ZONE: "opening_zone", Part.WEEK: "opening_week", Part.DAYS: "special_days"}


class Policy(models.TextChoices):
    AUTOMATE = definition.Policy.AUTOMATE.value, "Serve it automatically"
    HUMAN = definition.Policy.HUMAN.value, "Lead to a person"


class SlotKind(models.TextChoices):
    DIGITS = definition.SlotKind.DIGITS.value, "A number"
    CHOICE = definition.SlotKind.CHOICE.value, "One of a few choices"


class Flow(models.Model):
    """The draft of what a call to one number should do. Calls use a published version, never this."""

    slug = models.SlugField("short name", max_length=40, unique=True, help_text="Used in records; keep it for good.")
    name = models.CharField(max_length=100)
    destination_number = models.CharField(
        "dialled number", max_length=32, unique=True, help_text="The number callers dial; * takes every other number."
    )
    language = models.CharField(max_length=10, default="en", help_text="Numbers and dates are spoken in it.")
    voice = models.CharField(max_length=64, default="en-us", validators=[VOICE_VALIDATOR])
    human_destination = models.CharField(
        max_length=120, blank=True, help_text="Who takes a caller when nothing else can, such as agent@127.0.0.1:5090."
    )
    turn_budget_ms = models.PositiveIntegerField(
        "time for an AI response (ms)",
        default=4000,
        validators=[MinValueValidator(3000), MaxValueValidator(5000)],
        help_text="From the end of the caller's speech, 3000 to 5000; after it the keypad menu takes over.",
    )
    listen_limit_ms = models.PositiveIntegerField(
        "listening limit (ms)", default=8000, validators=[MinValueValidator(2000), MaxValueValidator(30_000)]
    )
    greeting = models.TextField(blank=True)
    not_understood = models.TextField(blank=True)
    transfer_to_team = models.TextField(blank=True, help_text="Said when the AI has failed, before the keypad menu.")
    menu_intro = models.TextField("menu introduction", blank=True)
    menu_hint = models.TextField(
        blank=True, help_text="Names the key that leads back to the menu; said when the menu itself can be skipped."
    )
    invalid_choice = models.TextField(blank=True)
    anything_else = models.TextField(blank=True)
    anything_else_menu = models.TextField("anything else, in the keypad menu", blank=True)
    connecting = models.TextField(blank=True, help_text="Said before a person joins.")
    no_agent = models.TextField("nobody is free", blank=True)
    action_failed = models.TextField(blank=True)
    goodbye = models.TextField(blank=True)
    read_back = models.TextField(
        "before a number read back", blank=True, help_text=f"Said before its digits. When empty: {definition.READ_BACK}"
    )
    yes_or_no = models.TextField(
        "yes or no",
        blank=True,
        help_text=f"Said after a confirming question; name the keys 1 and 2. When empty: {definition.YES_OR_NO}",
    )
    closed = models.TextField(
        blank=True, help_text=f"Said in place of a person outside opening hours. When empty: {definition.CLOSED}"
    )
    closed_greeting = models.TextField(
        blank=True,
        help_text="Said before the greeting outside opening hours, such as: Our office is closed, but I can still help you.",
    )
    opening_zone = models.CharField(
        "time zone", max_length=64, blank=True, help_text="Whose clock the hours go by: an IANA name, such as Europe/Berlin."
    )
    opening_week = models.TextField(
        "weekly hours",
        blank=True,
        help_text="When people can be reached, such as Mon-Fri: 09:00-12:00, 13:00-17:30, one line for each day or days. "
        "Days without a line are closed. Until midnight is 24:00. When all is empty, people can be reached around the clock.",
    )
    special_days = models.TextField(
        blank=True, help_text="Dates that differ, one a line, such as 2026-12-24: 09:00-12:00, or 2026-12-25: closed."
    )
    extra_phrases = models.TextField(
        blank=True, help_text="One a line: words that an action may answer with, for places such as {status:words}."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        permissions = [("publish_flow", "Can publish a flow")]

    def __str__(self) -> str:
        return self.name

    @property
    def published_slug(self) -> str:
        """By which bridges tell its versions from those of other flows. Empty: never published, or this program cannot read it."""
        latest = self.versions.order_by("-number").first() if self.pk else None
        with suppress(BadSnapshot):
            return "" if latest is None else latest.definition.slug
        return ""

    def slug_fault(self) -> str:
        """Under another name the versions so far would be another flow's, and its last one would go on taking calls for a day."""
        published = self.published_slug
        if published in ("", self.slug):
            return ""
        return f"the short name of a published flow cannot be changed: it is {published}"

    def clean(self) -> None:
        """An editor sees at once, and beside the field, what is wrong with hours and short name; publishing asks again."""
        super().clean()
        wrong: dict[str, list[str]] = {}
        if fault := self.slug_fault():
            wrong["slug"] = [fault[0].upper() + fault[1:] + "."]
        for part, text in hours_text.faults(self.opening_zone, self.opening_week, self.special_days):
            wrong.setdefault(HOURS_FIELDS[part], []).append(text[0].upper() + text[1:] + ".")
        if wrong:
            raise ValidationError(wrong)


class Slot(models.Model):
    """A value that a call needs, asked for by voice or by keypad."""

    flow = models.ForeignKey(Flow, models.CASCADE, related_name="slots")
    name = models.CharField(max_length=40, validators=[NAME_VALIDATOR])
    label = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=SlotKind, default=SlotKind.DIGITS)
    ask = models.TextField("question", blank=True, help_text="Invites the caller to say it.")
    ask_keypad = models.TextField("keypad question", blank=True, help_text="Names the keys to press.")
    min_length = models.PositiveSmallIntegerField("shortest", default=1)
    max_length = models.PositiveSmallIntegerField("longest", default=12)
    sensitive = models.BooleanField(default=False, help_text="Never shown, logged or given to the switch.")
    position = models.PositiveSmallIntegerField(default=0, help_text="Slots are asked for in this order.")

    class Meta:
        ordering = ["position", "pk"]
        constraints = [models.UniqueConstraint(fields=["flow", "name"], name="slot_name_unique_in_flow")]

    def __str__(self) -> str:
        return self.label or self.name


class SlotChoice(models.Model):
    """One value of a slot of kind choice, and the key that picks it."""

    slot = models.ForeignKey(Slot, models.CASCADE, related_name="choices")
    value = models.CharField(max_length=40, validators=[VALUE_VALIDATOR])
    digit = models.CharField("key", max_length=1, validators=[KEY_VALIDATOR])
    words = models.CharField(max_length=100, help_text="How it is spoken.")

    class Meta:
        ordering = ["digit", "pk"]
        constraints = [models.UniqueConstraint(fields=["slot", "value"], name="choice_value_unique_in_slot")]

    def __str__(self) -> str:
        return self.words or self.value


class Intent(models.Model):
    """Something a caller wants."""

    flow = models.ForeignKey(Flow, models.CASCADE, related_name="intents")
    name = models.CharField(max_length=40, validators=[NAME_VALIDATOR])
    label = models.CharField(max_length=100)
    policy = models.CharField(max_length=10, choices=Policy, default=Policy.AUTOMATE)
    utterances = models.TextField("examples", blank=True, help_text="What callers say, one example a line.")
    slots = models.ManyToManyField(Slot, blank=True, related_name="intents")
    action = models.CharField(max_length=60, blank=True, help_text="What the business does, such as balance.")
    destination = models.CharField(
        max_length=120, blank=True, help_text="The person or team; when empty, the flow's human destination."
    )
    confirm = models.TextField(
        "confirming question",
        blank=True,
        help_text="Asked when the AI is not sure, such as: Did you want your balance? When empty it is made from the label.",
    )
    careful = models.BooleanField(
        "money or bookings", default=False, help_text="Ask the confirming question unless the AI is nearly certain."
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [models.UniqueConstraint(fields=["flow", "name"], name="intent_name_unique_in_flow")]

    def __str__(self) -> str:
        return self.label or self.name

    def utterance_lines(self) -> tuple[str, ...]:
        return lines(self.utterances)


class KeypadMapping(models.Model):
    """The key and the menu phrase that reach an intent without any AI."""

    intent = models.OneToOneField(Intent, models.CASCADE, related_name="keypad")
    digit = models.CharField("key", max_length=1, blank=True, validators=[KEY_VALIDATOR])
    menu_prompt = models.TextField("menu phrase", blank=True, help_text="Such as: For your balance, press 1.")

    class Meta:
        ordering = ["digit", "pk"]

    def __str__(self) -> str:
        return f"Key {self.digit or '(none)'}"


class Outcome(models.Model):
    """How one outcome of an intent's action is told to the caller."""

    intent = models.ForeignKey(Intent, models.CASCADE, related_name="outcomes")
    name = models.CharField(max_length=40, validators=[NAME_VALIDATOR])
    template = models.TextField(
        help_text="Words and places, such as: Your balance is {balance:amount}. Kinds: amount, number, digits, date, time, words."
    )

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["intent", "name"], name="outcome_name_unique_in_intent")]

    def __str__(self) -> str:
        return self.name


class Prompt(models.Model):
    """One piece of audio, named by its content and never changed: 8 kHz, mono, 16 bits.

    Rendered: ``sha256`` is that of text, voice and rate. Uploaded: that of the bytes; it is used wherever a flow of the
    voice says the same words.
    """

    class Source(models.TextChoices):
        RENDERED = "rendered", "Rendered from text"
        UPLOADED = "uploaded", "Uploaded recording"

    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    source = models.CharField(max_length=10, choices=Source, default=Source.RENDERED, editable=False)
    text = models.TextField("words", help_text="Exactly the words that are heard.")
    voice = models.CharField(max_length=64, default="en-us", validators=[VOICE_VALIDATOR])
    rate_wpm = models.PositiveSmallIntegerField("words a minute", default=0, editable=False)
    wav = models.BinaryField(editable=False)
    duration_ms = models.PositiveIntegerField(default=0, editable=False)
    preferred = models.BooleanField(
        "use this recording", default=True, help_text="Untick it, and publish, to go back to the rendered words."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["text", "pk"]
        indexes = [models.Index("source", "voice", name="prompt_source_voice")]

    def __str__(self) -> str:
        return self.text if len(self.text) <= 60 else f"{self.text[:57]}…"

    @property
    def file(self) -> str:
        return f"{self.sha256}.wav"


class FlowVersion(models.Model):
    """One published version: what calls use. Written once."""

    flow = models.ForeignKey(Flow, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    published = models.TextField(editable=False)
    published_at = models.DateTimeField()
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-published_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["flow", "number"], name="version_number_unique_in_flow")]

    def __str__(self) -> str:
        return f"{self.flow} {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise VersionIsFinalError(f"version {self.number} is published: change the draft and publish again")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise VersionIsFinalError(f"version {self.number} is published and may be in use")

    @cached_property
    def definition(self) -> definition.FlowVersion:
        return decode_version(self.published)


class RenderClaim(models.Model):
    """A piece of audio that some publisher is rendering now; gone when it is stored."""

    sha256 = models.CharField(max_length=64, unique=True)
    owner = models.CharField(max_length=32, db_index=True)
    claimed_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.sha256[:12]} by {self.owner}"


class PublishJob(models.Model):
    """One wish to publish, its progress and its end, where the process that does it and the page both find it."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PUBLISHED = "published"
        REFUSED = "refused"
        FAILED = "failed"

    flow = models.ForeignKey(Flow, models.CASCADE, related_name="publish_jobs")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    note = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)
    version = models.ForeignKey(FlowVersion, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.flow}: {self.get_state_display()}"


def lines(text: str) -> tuple[str, ...]:
    """The lines of a text field, without blank ones and repetitions."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
