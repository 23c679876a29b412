"""From a flow's draft to a published version: render what is missing, check parity, store, have its files written.

Owns that order and what makes it safe: nothing is stored unless the keypad can do all that the AI can, every file
exists, and the draft is still the one that was checked. Audio is rendered outside the transaction (it is named by its
content, so a piece that ends up unused does no harm); no other writer waits for it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from callflows import actions, claims, disk, last_resort, rendering, store
from callflows.definition.codec import encode_version
from callflows.definition.errors import BadSnapshot
from callflows.definition.flow import FlowVersion, Phrase
from callflows.drafts import AudioIndex, Draft
from callflows.errors import DraftChangedError, PublishRefusedError, SilentSpeechError
from callflows.hours_text import HoursTextError, read_hours
from callflows.models import Flow, Prompt
from callflows.models import FlowVersion as VersionRow
from espeak.errors import InvalidRequestError
from ivr_fallback import parity
from ivr_fallback.parity import Problem

Render = Callable[[str, str], bytes]
Progress = Callable[[int, int], None]
Elsewhere = Callable[[Collection[str]], list[Problem]]
Stored = Callable[[VersionRow], None]
# Prompts are stored in batches: one write for each would wait for every other writer of the database.
BATCH = 50
# Between two looks at what another publisher is rendering: a piece takes it some 20 ms.
PAUSE_S = 0.2


def build(flow: Flow) -> FlowVersion:
    """The draft as the version it would become, with the number it would get."""
    return _built(Draft.read(flow))


def _built(draft: Draft) -> FlowVersion:
    return draft.version(AudioIndex(draft.texts(), draft.flow.voice), _next_number(draft.flow))


def needed_phrases(flow: Flow) -> list[str]:
    """Every text that must have audio, each once."""
    return list(Draft.read(flow).texts())


def check(flow: Flow) -> list[Problem]:
    """What stands against publishing the draft, in plain words. Audio that is yet to be rendered is no problem."""
    draft = Draft.read(flow)
    return _problems(draft.flow, _built(draft))


def _problems(flow: Flow, draft: FlowVersion, known_files: frozenset[str] | None = None) -> list[Problem]:
    """``flow`` as it is in the database now."""
    return [
        *_slug_problems(flow), *_hours_problems(flow), *_number_problems(flow, draft),
        *parity.problems(draft, known_files, actions.declared()),
    ]  # fmt: skip


def _slug_problems(flow: Flow) -> list[Problem]:
    fault = flow.slug_fault()
    return [Problem("Flow", f"{fault}. Change it back")] if fault else []


def _hours_problems(flow: Flow) -> list[Problem]:
    """Hours that cannot be read are none in the version; without this a flow would be open around the clock by a typing error."""
    try:
        read_hours(flow.opening_zone, flow.opening_week, flow.special_days)
    except HoursTextError as error:
        return [Problem(parity.HOURS, error.text)]
    return []


def _number_problems(flow: Flow, draft: FlowVersion) -> Iterator[Problem]:
    """Two published flows of one number: its calls would go to whichever has been published more often."""
    for other in Flow.objects.exclude(pk=flow.pk):
        latest = latest_version(other)
        with suppress(BadSnapshot):  # What cannot be read takes no calls.
            if latest is not None and latest.definition.destination_number == draft.destination_number:
                yield Problem(
                    "Flow",
                    f"the dialled number {draft.destination_number} is still that of {other.name} as it is published (version "
                    f"{latest.number}), and its calls would go on going there. The draft of {other.name} has another number: "
                    "publish it first (with a third number, where two flows change places)",
                )


def differs_from_published(flow: Flow) -> bool:
    """Whether publishing now would make a new version."""
    latest = latest_version(flow)
    return latest is None or _content(build(flow)) != _content(latest.definition)


def latest_version(flow: Flow) -> VersionRow | None:
    return VersionRow.objects.filter(flow=flow).order_by("-number").first()


def publish(
    flow: Flow,
    user: User | None = None,
    render: Render = rendering.speak,
    progress: Progress = lambda done, total: None,
    note: str = "",
    pause: Callable[[], None] = lambda: time.sleep(PAUSE_S),
    elsewhere: Elsewhere = lambda files: [],
    stored: Stored = lambda version: None,
    warn: Callable[[str], None] = lambda problem: None,
) -> VersionRow:
    """Publish the draft, and return the version: the latest one, when the draft does not differ from it.

    ``elsewhere`` says which files are not where other machines will look for them; `sync_switch` brings them there by then.
    ``stored`` is told of the version in the transaction that stores it. From then on it is published: of files that cannot be
    written ``warn`` is told, and `disk.catch_up` writes them later.

    Raises :class:`PublishRefusedError` with every problem, :class:`DraftChangedError`, or an error of the
    speech engine; the draft and the published versions are then as they were. Repeating it renders nothing twice.
    """
    problems = check(flow)
    if problems:
        raise PublishRefusedError(problems)
    _render_missing(flow, render, progress, pause)
    draft = build(flow)
    if problem := last_resort.draft_problem(draft):
        raise PublishRefusedError([Problem("Dialplan of last resort", problem)])
    # The switch has every file before any bridge can learn of the version.
    store.sync_prompts(Path(settings.LIFELINE_PROMPT_DIR))
    if problems := elsewhere(draft.files()):
        raise PublishRefusedError(problems)
    with transaction.atomic():
        version = _store(flow, user, draft, note)
        stored(version)
    for problem in disk.write():
        warn(problem)
    return version


def _render_missing(flow: Flow, render: Render, progress: Progress, pause: Callable[[], None]) -> None:
    """A piece that another publisher renders now is waited for; if that one dies or gives up, it is rendered here."""
    owner = uuid.uuid4().hex
    draft = Draft.read(flow)
    texts, voice = draft.texts(), draft.flow.voice
    while True:
        missing = AudioIndex(texts, voice).missing(texts)
        progress(len(texts) - len(missing), len(texts))
        if not missing:
            return
        names = {rendering.rendered_hash(text, voice): text for text in missing}
        try:
            mine = claims.take(list(names)[:BATCH], owner) or claims.take(names, owner)
            # Stored by another between the look and the claim: it is the same piece.
            mine -= set(Prompt.objects.filter(sha256__in=mine).values_list("sha256", flat=True))
            batch = [_rendered(text, voice, render) for sha256, text in names.items() if sha256 in mine]
            Prompt.objects.bulk_create(batch, ignore_conflicts=True)
        finally:
            claims.give_back(owner)
        if not mine:
            pause()


def _rendered(text: str, voice: str, render: Render) -> Prompt:
    try:
        recording = rendering.finish(render(text, voice))
    except (SilentSpeechError, InvalidRequestError) as error:
        raise PublishRefusedError([Problem(f"Words {text!r}", f"voice {voice!r} cannot say them: {error}")]) from error
    return Prompt(
        sha256=rendering.rendered_hash(text, voice),
        source=Prompt.Source.RENDERED,
        text=text,
        voice=voice,
        rate_wpm=rendering.RATE_WPM,
        wav=recording.wav,
        duration_ms=recording.duration_ms,
    )


def _store(flow: Flow, user: User | None, checked: FlowVersion, note: str) -> VersionRow:
    with transaction.atomic():
        Flow.objects.select_for_update().get(pk=flow.pk)
        draft = build(flow)
        if _content(draft) != _content(checked):
            raise DraftChangedError("The draft was changed while it was being published. Publish again.")
        problems = _problems(Flow.objects.get(pk=flow.pk), draft, _existing(draft))
        if problems:
            raise PublishRefusedError(problems)
        latest = latest_version(flow)
        if latest is not None and _content(latest.definition) == _content(draft):
            return latest
        return VersionRow.objects.create(
            flow=flow,
            number=draft.number,
            published=encode_version(draft),
            published_at=timezone.now(),
            published_by=user,
            note=note,
        )


def _existing(draft: FlowVersion) -> frozenset[str]:
    hashes = [file.removesuffix(".wav") for file in draft.files()]
    return frozenset(f"{sha256}.wav" for sha256 in Prompt.objects.filter(sha256__in=hashes).values_list("sha256", flat=True))


def _next_number(flow: Flow) -> int:
    latest = latest_version(flow)
    return 1 if latest is None else latest.number + 1


def _content(version: FlowVersion) -> bytes:
    """What makes two versions the same for a caller: all but the number, and durations, which follow from the files."""

    def plain(value: object) -> object:
        if isinstance(value, Phrase):
            return [value.text, value.file]
        if isinstance(value, msgspec.Struct):
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__ if name != "number"}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return value

    return msgspec.json.encode(plain(version), order="deterministic")
