"""Publishers at work at the same time render no piece twice, and one that dies costs the other half a minute at most."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from callflows import claims, publishing, rendering
from callflows.errors import PublishRefusedError
from callflows.models import Flow, Prompt, RenderClaim
from tests.callflows.test_publishing import Counting, beep


def test_a_piece_belongs_to_the_first_until_it_is_given_back(db: Any) -> None:
    assert claims.take(["a", "b"], "one") == {"a", "b"}
    assert claims.take(["b", "c"], "two") == {"c"}
    claims.give_back("one")
    assert claims.take(["b"], "two") == {"b"}


def test_the_claim_of_a_dead_publisher_is_forgotten(db: Any) -> None:
    claims.take(["a"], "dead")
    RenderClaim.objects.update(claimed_at=timezone.now() - claims.STALE_AFTER - timedelta(seconds=1))
    assert claims.take(["a"], "alive") == {"a"}


def test_what_another_renders_is_waited_for_and_not_rendered_again(draft: Flow) -> None:
    texts = publishing.needed_phrases(draft)
    others = {rendering.rendered_hash(text, draft.voice): text for text in texts[:3]}
    claims.take(others, "other")
    render, pauses = Counting(), []

    def pause() -> None:
        """While this publisher waits, the other finishes."""
        pauses.append(sorted(render.texts))
        recording = rendering.finish(beep("", ""))
        Prompt.objects.bulk_create(
            Prompt(sha256=sha256, text=text, voice=draft.voice, wav=recording.wav, duration_ms=recording.duration_ms)
            for sha256, text in others.items()
        )
        claims.give_back("other")

    publishing.publish(draft, render=render, pause=pause)
    assert pauses == [sorted(texts[3:])]
    assert sorted(render.texts) == sorted(texts[3:])
    assert not RenderClaim.objects.exists()


def test_what_another_gave_up_is_rendered_here(draft: Flow) -> None:
    texts = publishing.needed_phrases(draft)
    claims.take([rendering.rendered_hash(texts[0], draft.voice)], "other")
    render = Counting()
    publishing.publish(draft, render=render, pause=lambda: claims.give_back("other"))
    assert render.texts[-1] == texts[0]
    assert len(render.texts) == len(texts)


def test_a_publisher_that_fails_gives_its_claims_back(draft: Flow) -> None:
    with pytest.raises(PublishRefusedError):
        publishing.publish(draft, render=lambda text, voice: bytes(3200))
    assert not RenderClaim.objects.exists()
