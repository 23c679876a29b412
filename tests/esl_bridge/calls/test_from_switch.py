"""Recorded events as a call's inputs."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from esl_bridge.calls import inputs as told
from esl_bridge.calls.from_switch import EVENTS, connected, told_by
from esl_bridge.protocol.messages import ContentType, Event, Headers
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


def event(name: str, **headers: str) -> Event:
    lines = "".join(f"{key}: {value}\n" for key, value in {"Event-Name": name, **headers}.items())
    return Event(Headers(lines.encode(), encoded=True), b"")


def test_the_end_of_the_dialplan_s_socket_is_told_while_the_call_is_up_and_not_by_its_end() -> None:
    assert told_by(event("CHANNEL_EXECUTE_COMPLETE", Application="socket"), "answer") == told.TakenElsewhere()
    assert told_by(event("CHANNEL_EXECUTE_COMPLETE", Application="socket", **{"Answer-State": "hangup"}), "answer") is None


@pytest.mark.parametrize(
    ("variables", "by_switch"),
    [
        ({"variable_sip_call_id": "1%40a", "variable_sip_hangup_disposition": "recv_bye"}, False),
        ({"variable_sip_call_id": "1%40a", "variable_sip_hangup_disposition": "recv_cancel"}, False),
        ({"variable_sip_call_id": "1%40a", "variable_sip_hangup_disposition": "send_bye"}, True),
        # Seen on a real switch: a session that was not refreshed, and an offer that was answered without one.
        ({"variable_sip_call_id": "1%40a"}, True),
        ({}, False),
    ],
)
def test_who_ended_the_call(variables: dict[str, str], by_switch: bool) -> None:
    end = event("CHANNEL_HANGUP_COMPLETE", **{"Hangup-Cause": "NORMAL_CLEARING", "Answer-State": "hangup", **variables})
    assert told_by(end, "answer") == told.HungUp("NORMAL_CLEARING", by_switch=by_switch)


def test_a_hold_and_its_end_are_asked_for_and_told() -> None:
    assert {"CHANNEL_HOLD", "CHANNEL_UNHOLD"} <= set(EVENTS)
    assert told_by(event("CHANNEL_HOLD"), "answer") == told.PutOnHold()
    assert told_by(event("CHANNEL_UNHOLD"), "answer") == told.TakenOffHold()


@pytest.mark.parametrize(
    ("offer", "is_held"),
    [
        ("v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 6000 RTP/AVP 8\r\na=sendonly\r\n", True),
        ("v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 6000 RTP/AVP 8\r\na=inactive\r\n", True),
        ("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 6000 RTP/AVP 8\r\n", True),
        ("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 9 RTP/AVP 8\r\na=ice-ufrag:F7gI\r\n", False),
        ("v=0\r\nm=audio 9 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\n", False),
        ("v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 6000 RTP/AVP 8\r\na=sendrecv\r\n", False),
        ("v=0\r\ns=a=sendonly\r\nc=IN IP4 10.0.0.0\r\nm=audio 6000 RTP/AVP 8\r\n", False),
        ("v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 6000 RTP/AVP 8\r\na=sendrecv\r\nm=video 0 RTP/AVP 96\r\na=inactive\r\n", False),
        ("v=0\r\nc=IN IP4 10.0.0.1\r\nm=video 0 RTP/AVP 96\r\na=inactive\r\nm=audio 6000 RTP/AVP 8\r\na=sendrecv\r\n", False),
        ("v=0\r\nc=IN IP4 10.0.0.1\r\nm=video 0 RTP/AVP 96\r\nm=audio 6000 RTP/AVP 8\r\na=sendonly\r\n", True),
        ("v=0\r\nc=IN IP4 10.0.0.1\r\na=sendonly\r\nm=audio 6000 RTP/AVP 8\r\n", True),
        ("v=0\r\nc=IN IP4 0.0.0.0\r\na=sendonly\r\nm=audio 6 RTP/AVP 8\r\nc=IN IP4 10.0.0.1\r\na=sendrecv\r\n", False),
        ("", False),
    ],
)
def test_a_call_that_is_taken_over_in_a_hold_is_known_to_be_held(offer: str, is_held: bool) -> None:
    """A transfer has made it ACTIVE by then: seen on a real switch."""
    begun = {"Unique-ID": "u", "Channel-Call-State": "ACTIVE", "variable_switch_r_sdp": quote(offer)}
    taken_over = event("CHANNEL_DATA", **begun, variable_ll_owner="bridge-1%3A1")
    at = datetime(2026, 11, 27, tzinfo=UTC)
    assert connected(taken_over, None, told.AiUse.USABLE, at=at).held is is_held
    # Who begins a call like that would be told nothing for ever: the switch sees no hold there, and so tells of no end of it.
    assert connected(event("CHANNEL_DATA", **begun), None, told.AiUse.USABLE, at=at).held is False
