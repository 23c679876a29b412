"""What is claimed of a call in the switch's own menu, from events as FreeSWITCH sends them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from esl_bridge.journal.events import CallEnded, JournalEvent, LastResortHeard, LastResortLeft
from esl_bridge.last_resort.sightings import Sightings
from esl_bridge.protocol.messages import Event, parse_plain_event

UUID = "4151e522-ceda-4161-9bbc-abd35747970e"
FILES = "file_string:///prompts/aa.wav!/prompts/bb.wav"


def event(name: str, extension: str = "ll-lr-demo:3:new", **more: str) -> Event:
    headers = {
        "Event-Name": name, "Unique-ID": UUID, "Answer-State": "answered", "Caller-Destination-Number": extension,
        "Caller-Caller-ID-Number": "1000", "variable_ll_last_resort_visits": "x", "variable_ll_holder": "chain",
        "variable_ll_flow": "demo:3", "variable_sip_req_user": "9200", "variable_ll_owner": "bridge-1:4",
    } | {key.replace("__", "-"): value for key, value in more.items()}  # fmt: skip
    lines = [f"{key}: {quote(value)}" for key, value in headers.items() if value]
    return parse_plain_event(("\n".join(lines) + "\n\n").encode())


def start(file: str = FILES, **more: str) -> Event:
    return event("PLAYBACK_START", **{"Playback__File__Path": file} | more)


def hangup(extension: str = "ll-lr-demo:3:1:9", **more: str) -> Event:
    return event("CHANNEL_HANGUP_COMPLETE", extension, **{"Answer__State": "hangup", "Hangup__Cause": "NORMAL_CLEARING"} | more)


def told(*events: Event) -> list[JournalEvent]:
    sightings = Sightings()
    found = [sighting for one in events for sighting in sightings.of(one)]
    assert all(sighting.call_uuid == UUID for sighting in found)
    return [sighting.event for sighting in found]


HEARD = LastResortHeard("1000", "9200", "demo", 3, by_chain=True, proof="PLAYBACK_START aa.wav")


def test_the_first_prompt_of_a_visit_proves_that_the_menu_was_heard_under_the_last_owners_epoch() -> None:
    assert told(start(), start("/prompts/cc.wav")) == [HEARD]
    assert next(Sightings().of(start())).epoch == 4
    assert next(Sightings().of(start(variable_ll_owner=""))).epoch == 0
    assert told(start(), start(variable_ll_last_resort_visits="xx")) == [HEARD, HEARD]


def test_a_call_that_a_living_bridge_sent_there_is_said_to_be_one() -> None:
    (heard,) = told(start(variable_ll_holder="bridge-1:4"))
    assert isinstance(heard, LastResortHeard)
    assert not heard.by_chain


@pytest.mark.parametrize(
    "other",
    [
        start(Answer__State="hangup"),
        start("silence_stream://100"),
        start(Caller__Destination__Number="9200"),
        start(variable_ll_last_resort_visits=""),
        start(Unique__ID="${system(id)}"),
        event("CHANNEL_EXECUTE"),
    ],
)
def test_nothing_else_proves_anything(other: Event) -> None:
    assert told(other) == []


def test_the_tones_prove_it_too() -> None:
    (heard,) = told(start("tone_stream://%(300,100,600);loops=3", Caller__Destination__Number="ll-lr"))
    assert isinstance(heard, LastResortHeard)
    assert heard.proof == "PLAYBACK_START tone_stream://%(300,100,600);loops=3"


def test_the_end_says_what_was_chosen_and_who_ended_it() -> None:
    left = hangup(variable_ll_lr_choice="balance", variable_originate_disposition="SUCCESS")
    assert told(start(), left) == [HEARD, LastResortLeft("balance", True, True), CallEnded("NORMAL_CLEARING", "caller")]
    goodbye = hangup("ll-lr-demo:3:after", variable_current_application="hangup")
    assert told(start(), goodbye)[1:] == [LastResortLeft("", False, True), CallEnded("NORMAL_CLEARING", "lifeline")]
    cut = hangup(variable_sip_hangup_disposition="send_bye", Hangup__Cause="MEDIA_TIMEOUT")
    assert told(start(), cut)[-1] == CallEnded("MEDIA_TIMEOUT", "switch")


def test_a_caller_whom_a_person_of_the_menu_passes_on_ends_there_too_but_not_with_a_bridges_own_person() -> None:
    left = {"variable_ll_lr_choice": "person", "variable_originate_disposition": "SUCCESS"}
    ended = [LastResortLeft("person", True, True), CallEnded("NORMAL_CLEARING", "caller")]
    assert told(start(), hangup("ll-agent-team@h:5060", **left))[1:] == ended
    assert told(start(), hangup("ll-agent-team@h:5060", **left, variable_ll_holder="bridge-1:4")) == [HEARD]


def test_who_missed_the_prompt_knows_it_from_a_key_and_else_claims_nothing() -> None:
    (heard, *_) = told(hangup(variable_ll_lr_choice="balance"))
    assert isinstance(heard, LastResortHeard)
    assert heard.proof == "key taken by the menu: balance"
    assert told(hangup()) == [LastResortLeft("", False), CallEnded("NORMAL_CLEARING", "caller")]


def test_an_end_elsewhere_is_its_bridges_to_tell() -> None:
    assert told(start(), hangup("9200")) == [HEARD]
