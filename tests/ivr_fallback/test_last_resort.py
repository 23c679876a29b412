"""The dialplan of last resort as text: what a flow becomes, and that nothing of a flow can become anything else."""

from __future__ import annotations

import re
import string
import xml.etree.ElementTree as ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflows.definition.flow import FlowVersion, Intent, Phrase, Policy, Snapshot
from ivr_fallback import last_resort_checks as checks
from ivr_fallback.last_resort import LastResortError, Place, dial_string, phrases_in_use, render
from ivr_fallback.menu import MAX_TRIES
from tests.callflows.definition.hours_strategies import all_hours
from tests.ivr_fallback.flows import phrase, whole_flow

PLACE = Place("/var/lib/lifeline/prompts")
FLOW = whole_flow()
HOSTILE = (
    "${system(id)}",
    '"/><action application="system" data="id"/>',
    "a b",
    "a'b",
    "a|b",
    "a,b@h",
    "<x>",
    "a\nb",
    "]]>",
    "\\$x",
)


def rendered(*flows: FlowVersion) -> str:
    return render(Snapshot(flows or (FLOW,)), PLACE)


def actions(text: str, name: str) -> list[tuple[str, str]]:
    """Of the only extension that takes a call to ``name``."""
    found = [
        [(action.get("application", ""), action.get("data", "")) for action in extension.iter("action")]
        for extension in ElementTree.fromstring(text)
        if re.search(extension[0].get("expression", ""), name)
    ]
    return found[0]


def sound(words: Phrase) -> str:
    return f"{PLACE.prompt_dir}/{words.file}"


def test_the_menu_says_what_the_flows_menu_says_and_asks_for_one_key() -> None:
    (_, _, (application, data), (last, target)) = actions(rendered(), "ll-lr-utility:1:2")
    wanted = "!".join(sound(words) for words in (FLOW.system.menu_intro, *(intent.menu for intent in FLOW.intents)))
    assert (application, last) == ("play_and_get_digits", "transfer")
    assert data == f"1 1 1 5000 none file_string://{wanted} silence_stream://100 ll_key [0-9*#]"
    assert target == "ll-lr-utility:1:2:${ll_key} XML lifeline"


def test_a_key_that_needs_an_action_says_that_it_cannot_be_done_and_leads_to_a_person() -> None:
    found = actions(rendered(), "ll-lr-utility:1:new:1")
    assert found[0] == ("set", "ll_lr_choice=balance")
    assert [data for application, data in found if application == "playback"] == [
        sound(FLOW.system.action_failed), sound(FLOW.system.connecting),
    ]  # fmt: skip
    assert ("bridge", "sofia/internal/agent@127.0.0.1:5090") in found


@pytest.mark.parametrize(("key", "choice"), [("0", "person"), ("9", "person")])
def test_zero_and_the_key_of_a_person_lead_there_at_once(key: str, choice: str) -> None:
    found = actions(rendered(), f"ll-lr-utility:1:3:{key}")
    assert found[0] == ("set", f"ll_lr_choice={choice}")
    assert ("playback", sound(FLOW.system.action_failed)) not in found
    assert found[-2:] == [("bridge", "sofia/internal/agent@127.0.0.1:5090"), ("transfer", "ll-lr-utility:1:after XML lifeline")]


def test_star_begins_again_and_no_key_ends_at_a_person_after_three_tries() -> None:
    text = rendered()
    assert actions(text, "ll-lr-utility:1:3:*") == [("transfer", "ll-lr-utility:1:1 XML lifeline")]
    stage, tries = "new", 1
    while (found := actions(text, f"ll-lr-utility:1:{stage}:none"))[-1][1] != "ll-lr-utility:1:after XML lifeline":
        stage = found[-1][1].split(" ")[0].rpartition(":")[2]
        tries += 1
    assert tries == MAX_TRIES
    assert ("bridge", "sofia/internal/agent@127.0.0.1:5090") in found


def test_a_wrong_key_is_called_wrong() -> None:
    assert actions(rendered(), "ll-lr-utility:1:new:5")[0] == ("playback", sound(FLOW.system.invalid_choice))
    assert actions(rendered(), "ll-lr-utility:1:new:#")[0] == ("playback", sound(FLOW.system.invalid_choice))


def test_when_nobody_answers_the_caller_is_told_and_when_somebody_did_the_chain_has_the_call_again() -> None:
    (after,) = [each for each in ElementTree.fromstring(rendered()) if "after$" in each[0].get("expression", "")]
    assert [(each.get("application"), each.get("data")) for each in after.iter("anti-action")] == [
        ("playback", sound(FLOW.system.no_agent)), ("playback", sound(FLOW.system.goodbye)), ("hangup", None),
    ]  # fmt: skip
    assert actions(rendered(), "ll-lr-utility:1:after")[-1] == ("transfer", "9200 XML lifeline")


def test_calls_find_their_flow_by_what_they_had_then_by_number_and_a_star_takes_the_rest() -> None:
    other = msgspec.structs.replace(FLOW, slug="all", number=4, destination_number="*")
    old = msgspec.structs.replace(FLOW, slug="all", number=3, destination_number="77")
    root = ElementTree.fromstring(rendered(other, FLOW, old))
    entries = [[(each.get("field"), each.get("expression")) for each in extension.iter("condition")][1:]
               for extension in root if extension[0].get("expression") == "^ll-lr$"]  # fmt: skip
    assert entries == [
        [("${ll_flow} ${ll_step}", "^all:[0-9]+ after_agent$")], [("${ll_flow} ${ll_step}", "^all:[0-9]+ ")],
        [("${ll_flow} ${ll_step}", "^utility:[0-9]+ after_agent$")], [("${ll_flow} ${ll_step}", "^utility:[0-9]+ ")],
        [("${ll_dialled}|${sip_req_user}", r"^(9200\|.*|\|9200)$")], [],
    ]  # fmt: skip
    assert checks.versions_named(rendered(other, FLOW, old)) == {"all": 4, "utility": 1}


def test_every_file_is_named_as_a_whole_path_and_the_text_is_what_a_switch_may_have() -> None:
    text = rendered()
    assert checks.problems(text) == []
    assert checks.files_named(text) == {sound(words) for words in phrases_in_use(FLOW)}


def test_an_agent_is_dialled_as_the_chain_would() -> None:
    assert dial_string("team") == "sofia/internal/team@$${lifeline_agents}"
    assert dial_string("+4930@h") == "sofia/internal/+4930@h"
    assert dial_string("team/1") == "$${lifeline_last_resort_agent}"


@pytest.mark.parametrize("bad", HOSTILE)
def test_a_destination_that_a_switch_could_act_on_is_refused_in_words(bad: str) -> None:
    for flow in (
        msgspec.structs.replace(FLOW, human_destination=bad),
        msgspec.structs.replace(FLOW, intents=(msgspec.structs.replace(FLOW.intents[1], destination=bad),)),
    ):
        with pytest.raises(LastResortError, match="the destination may hold"):
            rendered(flow)
    for flow in (
        msgspec.structs.replace(FLOW, slug=bad),
        msgspec.structs.replace(FLOW, destination_number=bad),
        msgspec.structs.replace(FLOW, system=msgspec.structs.replace(FLOW.system, goodbye=Phrase("x", bad))),
        msgspec.structs.replace(FLOW, intents=(msgspec.structs.replace(FLOW.intents[0], name=bad),)),
    ):
        with pytest.raises(LastResortError):
            rendered(flow)
    with pytest.raises(LastResortError, match="folder"):
        render(Snapshot((FLOW,)), Place(f"/prompts/{bad}"))


texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.sampled_from(string.printable + "é${}<>&'\""), max_size=12))


@st.composite
def flows(draw: st.DrawFn) -> FlowVersion:
    """Flows with anything in every text; some of it is what a flow may hold."""
    some = [st.sampled_from(["agent@127.0.0.1:5090", "team", "+4930@h"]), texts]
    intents = tuple(
        Intent(draw(texts | st.just(f"i{digit}")), draw(texts), draw(st.sampled_from(Policy)), (draw(texts),),
               draw(st.just(str(digit)) | texts), phrase(draw(texts)), destination=draw(st.just("") | st.one_of(some)))
        for digit in draw(st.sets(st.integers(1, 9), max_size=4))
    )  # fmt: skip
    return msgspec.structs.replace(
        FLOW, slug=draw(st.just("a--b") | texts), name=draw(texts), language=draw(texts), voice=draw(texts),
        destination_number=draw(st.sampled_from(["*", "+4930", "12#"]) | texts), human_destination=draw(st.one_of(some)),
        intents=intents, hours=draw(st.none() | all_hours(("UTC", "${x}"))),
        system=msgspec.structs.replace(FLOW.system, greeting=phrase(draw(texts))),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(flows())
def test_whatever_a_flow_says_is_refused_or_is_a_dialplan_with_nothing_in_it_but_ours(flow: FlowVersion) -> None:
    try:
        text = render(Snapshot((flow,)), PLACE)
    except LastResortError:
        return
    assert checks.problems(text) == []
    found = [action.get("data", "") for action in ElementTree.fromstring(text).iter("action")]
    assert set(re.findall(r"(?<!\$)\$\{[^}]*\}?", " ".join(found))) == {"${ll_key}"}


ACTION = '<action application="playback" data="/a.wav" />'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (ACTION, ACTION.replace("playback", "system"), "'system' is not one of"),
        (ACTION, ACTION.replace("/a.wav", "${uuid}"), "could act on"),
        (ACTION, ACTION.replace("/a.wav", "a'b"), "could act on"),
        (ACTION, ACTION.replace("data=", "inline="), "may not run inline"),
        (ACTION, '<action application="transfer" data="ll-lr-gone XML lifeline" />', "nothing takes"),
        (ACTION, "<X-PRE-PROCESS cmd='exec' data='id'/>", "preprocessor"),
        (ACTION, "<bridge />", "<bridge> is not known"),
        ("^a$", "a{2}", "read otherwise"),
        ("^a$", "(", "means nothing"),
        ("destination_number", "${caller_id_name}", "not known"),
        ("</include>", "", "no XML"),
        ("<include>", "<!DOCTYPE x><include>", "declaration"),
        ("<include>\n", "<include>", "line of its own"),
    ],
)
def test_what_an_editor_or_a_broken_disk_may_have_put_there_is_found(old: str, new: str, says: str) -> None:
    good = (
        '<include>\n<extension name="e"><condition field="destination_number" expression="^a$">'
        f"{ACTION}</condition></extension>\n</include>\n"
    )
    assert checks.problems(good) == []
    (problem, *_) = checks.problems(good.replace(old, new))
    assert says in problem
