"""Reading and matching a dialplan, and that the one we deploy is what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator.dialplan import Action, load_dialplan, parse_dialplan
from simulator.errors import DialplanError
from tests.simulator.conftest import CHAIN

NOW = datetime(2026, 11, 22, 10, 53, tzinfo=UTC)  # a Sunday


def route(text: str, now: datetime = NOW, **fields: str) -> list[tuple[str, str]] | None:
    plan = parse_dialplan(f'<include><context name="c">{text}</context></include>', {})
    inline: list[Action] = []
    found = plan.route("c", lambda name: fields.get(name, ""), now, inline.append)
    return None if found is None else [(action.application, action.data) for action in [*inline, *found]]


NUMBER = '<condition field="destination_number" expression="^(9)(\\d+)$"/>'


def test_every_condition_must_hold_and_captures_of_its_own_fill_its_actions() -> None:
    text = f"""<extension name="e">{NUMBER}<condition field="${{hops}}" expression="^x{{0,2}}$">
      <action application="a" data="${{hops}}x"/><anti-action application="b" data="no"/></condition></extension>"""
    assert route(text, destination_number="900", hops="xx") == [("a", "${hops}x")]
    assert route(text, destination_number="900", hops="xxx") == [("b", "no")]
    assert route(text, destination_number="800") is None


def test_captures() -> None:
    text = """<extension name="e"><condition field="destination_number" expression="^ll-agent-(.+)$">
      <action application="bridge" data="user/$1"/></condition></extension>"""
    assert route(text, destination_number="ll-agent-bob") == [("bridge", "user/bob")]


def test_the_first_extension_wins_unless_it_goes_on() -> None:
    text = """<extension name="one" continue="true"><condition><action application="first"/></condition></extension>
      <extension name="two"><condition><action application="second"/></condition></extension>
      <extension name="three"><condition><action application="third"/></condition></extension>"""
    assert route(text) == [("first", ""), ("second", "")]


def test_breaks() -> None:
    on_true = """<extension name="e">
      <condition field="x" expression="1" break="on-true"><action application="a"/></condition>
      <condition><action application="b"/></condition></extension>"""
    assert route(on_true, x="1") == [("a", "")]
    assert route(on_true, x="2") == [("b", "")]
    never = on_true.replace("on-true", "never")
    assert route(never, x="1") == [("a", ""), ("b", "")]


@pytest.mark.parametrize(
    ("attributes", "holds"),
    [
        ('wday="1"', True), ('wday="2-6"', False), ('wday="1,7" hour="9-17"', True),
        ('time-of-day="09:00-17:30"', True), ('time-of-day="22:00-06:00"', False), ('mon="11" mday="20-25"', True),
        ('time-of-day="10:53:00-10:54:00,23:00-23:59"', True), ('year="2027"', False), ('minute="53"', True),
    ],
)  # fmt: skip
def test_times(attributes: str, holds: bool) -> None:
    text = f"""<extension name="e"><condition {attributes}><action application="open"/>
      <anti-action application="shut"/></condition></extension>"""
    assert route(text) == [("open" if holds else "shut", "")]


def test_times_beside_a_field_are_an_or() -> None:
    text = """<extension name="e"><condition field="x" expression="1" wday="{}"><action application="yes"/>
      <anti-action application="no"/></condition></extension>"""
    found = [route(text.format(wday), x=x) for wday in ("1", "2") for x in ("1", "2")]
    assert found == [[("yes", "")], [("yes", "")], [("yes", "")], [("no", "")]]


def test_a_time_zone_that_an_inline_action_sets_counts_from_the_next_condition_on() -> None:
    text = """<extension name="e"><condition><action application="set" data="timezone=Asia/Tokyo" inline="true"/></condition>
      <condition time-of-day="19:53-19:53"><action application="night"/></condition></extension>"""
    plan = parse_dialplan(f'<include><context name="c">{text}</context></include>', {})
    known: dict[str, str] = {}
    found = plan.route("c", lambda name: known.get(name, ""), NOW, lambda action: known.update(timezone=action.data.split("=")[1]))
    assert found == [Action("night", "")]


def test_inline_actions_run_while_the_dialplan_is_matched() -> None:
    text = """<extension name="e"><condition><action application="set" data="x=1" inline="true"/>
      <action application="a"/></condition></extension>"""
    assert route(text) == [("set", "x=1"), ("a", "")]


def test_globals_of_the_switch_win_over_the_files_own() -> None:
    text = """<include><X-PRE-PROCESS cmd="set" data="who=file"/><context name="c"><extension name="e"><condition>
      <action application="a" data="$${who}"/></condition></extension></context></include>"""

    def data(**variables: str) -> str:
        found = parse_dialplan(text, variables).route("c", lambda _: "", NOW, lambda _: None)
        assert found is not None
        return found[0].data

    assert (data(), data(who="switch")) == ("file", "switch")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<include>", "no element found"),
        ("<include/>", "no <context>"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><include/>', "document type"),
        (
            '<context name="c"><extension><condition field="x" expression="("/></extension></context>',
            "expression",
        ),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "plan.xml"
    path.write_text(text)
    with pytest.raises(DialplanError, match=says) as caught:
        load_dialplan(path, {})
    assert str(path) in str(caught.value)
    with pytest.raises(DialplanError, match="No such file"):
        load_dialplan(tmp_path / "none.xml", {})


NOBODY = "127.0.0.1:0/nobody"


def deployed(destination: str, **fields: str) -> list[tuple[str, str]]:
    plan = load_dialplan(CHAIN, {"lifeline_bridges": "h1:1|h2:2", "lifeline_bridges_next": "h2:2|h1:1"})
    known = {"destination_number": destination} | fields
    found = plan.route("lifeline", lambda name: known.get(name, ""), NOW, lambda _: None)
    assert found is not None, destination
    return [(action.application, action.data) for action in found]


def test_the_deployed_chain_arms_the_timer_before_the_socket_and_comes_back_after_it() -> None:
    actions = deployed("9200")
    names = [name for name, _data in actions]
    assert names.index("sched_cancel") < names.index("sched_transfer") < names.index("socket")
    assert actions[-2:] == [("socket", f"h1:1|h2:2|{NOBODY} async full"), ("transfer", "9200 XML lifeline")]
    other_way = ("socket", f"h2:2|h1:1|{NOBODY} async full")
    assert deployed("9200", ll_list="next")[-2:] == [other_way, ("transfer", "9200 XML lifeline")]
    assert ("set", "ll_list=next") in actions, "the next visit tries the bridges in the other order"
    assert ("set", "ll_list=first") in deployed("9200", ll_list="next")
    named = deployed("9200", ll_bridges="h3:3|h1:1", ll_list="next")
    assert named[-3:] == [
        ("set", "ll_bridges=h1:1|h3:3"), ("socket", f"h3:3|h1:1|{NOBODY} async full"), ("transfer", "9200 XML lifeline"),
    ], "whom the call's last bridge named, in turn"  # fmt: skip
    assert [data for name, data in named if name == "set" and "ll_list" in data] == []
    away = [("set", "ll_holder=chain"), ("transfer", "ll-last-resort XML lifeline")]
    exported = "mine,rtp_timer_name,nolocal:hold_hangup_xfer_exten"
    assert deployed("9200", ll_hops="xxxxxx", export_vars=exported) == away
    assert deployed("9200", ll_hops="x", socket_path="nobody", export_vars=exported) == away, "nobody listened anywhere"
    assert ("set", "max_session_transfers=70") in actions


def test_a_persons_leg_has_a_clock_every_codec_and_a_way_back_for_a_held_caller() -> None:
    exported = [data for name, data in deployed("9200", export_vars="mine") if name == "export"]
    assert exported == [
        "rtp_timer_name=soft", "nolocal:media_mix_inbound_outbound_codecs=true",
        "nolocal:hold_hangup_xfer_exten=ll-after-person:XML:lifeline",
    ]  # fmt: skip
    has_both = "mine,rtp_timer_name,nolocal:hold_hangup_xfer_exten"
    assert [name for name, _ in deployed("9200", export_vars=has_both)].count("export") == 0, "once"
    assert deployed("ll-after-person") == [
        ("set", "ll_step=after_agent"), ("unset", "ll_hops"), ("transfer", "9200 XML lifeline"),
    ]  # fmt: skip


def test_every_extension_that_must_disarm_the_timer_begins_with_it() -> None:
    for destination in ("ll-agent-team@h:5060", "ll-last-resort", "ll-human"):
        both = [("sched_cancel", ""), ("sched_cancel", "ll-${uuid}")]
        assert deployed(destination)[:3] == [*both, ("set", "socket_resume=false")]


def test_any_key_ends_at_a_person_and_never_in_nothing() -> None:
    for key in ("1", "2", "9", "none", ""):
        assert deployed(f"ll-key-{key}")[-1][0] in ("transfer", "hangup")
    assert ("bridge", "sofia/internal/agent@127.0.0.1:5090") in deployed("ll-human")


def test_an_agents_address_is_dialled_and_a_bare_name_is_sought_where_agents_are() -> None:
    assert deployed("ll-agent-team") == [("transfer", "ll-agent-team@127.0.0.1:5090 XML lifeline")]
    assert ("bridge", "sofia/internal/team@pbx.example:5060") in deployed("ll-agent-team@pbx.example:5060")


@pytest.mark.parametrize("name", ["a b@h", "a@b@c", "a@h|b@h", "${x}@h", "a@h,b@h", "", "a@h:1234567", "{x=1}a@h"])
def test_an_agents_name_carries_nothing_else_into_the_dial_string_and_ends_at_a_person(name: str) -> None:
    bridged = [data for application, data in deployed(f"ll-agent-{name}") if application == "bridge"]
    assert bridged == ["sofia/internal/agent@127.0.0.1:5090"]
