"""Which events pass."""

from __future__ import annotations

from simulator.events import Event
from simulator.subscriptions import Subscriptions


def event(name: str, uuid: str = "me", subclass: str = "", **headers: str) -> Event:
    pairs = [("Event-Name", name), *((("Unique-ID", uuid),) if uuid else ())]
    pairs += [(header.replace("_", "-"), value) for header, value in headers.items()]
    return Event(name, (tuple(pairs),), "", subclass)


def test_my_events_brings_the_own_calls_events_but_no_playback_and_no_custom() -> None:
    mine = Subscriptions("me")
    assert mine.my_events("") == "+OK Events Enabled"
    assert mine.wants(event("DTMF"))
    assert not mine.wants(event("DTMF", "other"))
    assert not mine.wants(event("PLAYBACK_START"))
    assert not mine.wants(event("CUSTOM", subclass="mod_audio_stream::play"))
    assert mine.my_events("") == "-ERR aready enabled."
    assert not mine.sees_other_calls()


def test_an_event_list_alone_brings_other_calls_events_and_a_filter_keeps_them_out() -> None:
    listed = Subscriptions("me")
    assert listed.add("plain DTMF BACKGROUND_JOB CUSTOM a::b") == "+OK event listener enabled plain"
    assert listed.wants(event("DTMF", "other"))
    assert listed.sees_other_calls()
    listed.filter("Unique-ID me")
    assert not listed.wants(event("DTMF", "other"))
    assert not listed.sees_other_calls()
    job = event("BACKGROUND_JOB", "", Job_Owner_UUID="me")
    assert not listed.wants(job)
    listed.filter("Job-Owner-UUID me")
    assert listed.wants(job)


def test_under_my_events_the_own_jobs_pass_whatever_the_filters_say() -> None:
    mine = Subscriptions("me")
    mine.my_events("")
    mine.add("plain BACKGROUND_JOB")
    mine.filter("Unique-ID other")
    assert mine.wants(event("BACKGROUND_JOB", "", Job_Owner_UUID="me"))
    assert not mine.wants(event("BACKGROUND_JOB", "", Job_Owner_UUID="other"))


def test_custom_events_only_by_subclass() -> None:
    some = Subscriptions()
    some.add("plain CUSTOM a::b c::d")
    assert some.wants(event("CUSTOM", subclass="a::b"))
    assert not some.wants(event("CUSTOM", subclass="x::y"))
    assert some.remove("CUSTOM a::b") == "+OK events nixed"
    assert not some.wants(event("CUSTOM", subclass="a::b"))
    assert some.wants(event("CUSTOM", subclass="c::d"))


def test_all_nixing_and_no_events() -> None:
    some = Subscriptions()
    assert some.clear() == "-ERR not listening for events"
    assert some.add("all") == "+OK event listener enabled plain"
    assert some.wants(event("CUSTOM", subclass="x::y"))
    assert some.remove("NOTHING_SUCH") == "-ERR no keywords supplied"
    some.remove("all")
    assert not some.wants(event("DTMF"))
    some.add("json DTMF")
    assert some.as_json
    assert some.clear() == "+OK no longer listening for events"
    assert not some.wants(event("DTMF"))


def test_filters_match_without_case_by_expression_and_negatively() -> None:
    some = Subscriptions()
    some.add("plain all")
    assert some.filter("Unique-ID") == "-ERR invalid syntax"
    some.filter("add Unique-ID ME")
    assert some.wants(event("DTMF", "me"))
    some.filter("DTMF-Digit -9")
    assert not some.wants(event("DTMF", "me", DTMF_Digit="9"))
    assert some.filter("delete DTMF-Digit -9") == "+OK filter deleted. [DTMF-Digit][-9]"
    assert some.wants(event("DTMF", "me", DTMF_Digit="9"))
    assert some.filter("delete all") == "+OK filter deleted. [all][]"
    some.filter("Unique-ID /^m.$/")
    assert some.wants(event("DTMF", "me"))
    assert not some.wants(event("DTMF", "you"))
    some.filter("delete Unique-ID")
    some.filter("Unique-ID /(/")
    assert not some.wants(event("DTMF", "("))


def test_what_is_listed_is_known_by_name_before_the_event_is_made() -> None:
    listed = Subscriptions("me")
    listed.add("plain DTMF CUSTOM a::b")
    assert listed.lists("DTMF", "")
    assert listed.lists("CUSTOM", "a::b")
    assert not listed.lists("CUSTOM", "a::c")
    assert not listed.lists("CHANNEL_EXECUTE", "")
    listed.add("plain ALL")
    assert listed.lists("CHANNEL_EXECUTE", "")


def test_a_connection_that_lists_nothing_yet_is_asked_of_no_other_call() -> None:
    new = Subscriptions("me")
    assert not new.sees_other_calls()
    new.add("plain DTMF")
    assert new.sees_other_calls()
    new.clear()
    assert not new.sees_other_calls()
