"""Recorded events as a call's inputs."""

from __future__ import annotations

from esl_bridge.calls import inputs as told
from esl_bridge.calls.from_switch import told_by
from esl_bridge.protocol.messages import ContentType
from esl_bridge.protocol.reader import Reader
from tests.esl_bridge.recorded import from_freeswitch


def inputs(name: str) -> list[told.Input]:
    events = [m.event() for m in Reader().feed(from_freeswitch(name)) if m.content_type == ContentType.EVENT_PLAIN]
    return [found for event in events if (found := told_by(event, "answer")) is not None]


def test_a_prompt_that_the_caller_hung_up_on_was_not_heard_to_its_end() -> None:
    # The recorded "caller" was ended by a command: it is the switch that said good-bye.
    assert inputs("caller-hangs-up") == [told.HungUp("ORIGINATOR_CANCEL", by_switch=True)]


def test_a_prompt_heard_to_its_end_is_told_with_the_id_it_was_sent_with() -> None:
    found = inputs("files")
    starts = [one for one in found if isinstance(one, told.PlaybackStarted)]
    ends = [one.response for one in found if isinstance(one, told.PlaybackEnded)]
    assert len(starts) == 4
    assert ends.count("FILE NOT FOUND") >= 2
    assert ends.count("FILE CUT") == 1, "the one that was broken off"
    assert isinstance(found[-1], told.HungUp)
