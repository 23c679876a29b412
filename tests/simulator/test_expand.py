"""`${…}` as FreeSWITCH expands it."""

from __future__ import annotations

from simulator.expand import expand, expand_captures

VARIABLES = {"a": "1", "name": "a", "word": "abcdef", "evil": "${system(rm -rf /)}", "loop": "${loop}"}


def look(name: str) -> str:
    return VARIABLES.get(name, "")


def test_variables_nested_unset_sliced_and_escaped() -> None:
    assert expand("x${a}y${nothing}z", look) == "x1yz"
    assert expand("${${name}}", look) == "1"
    assert expand("${word:1:3} ${word:-2}", look) == "bcd ef"
    assert expand(r"\${a} costs $5", look) == "${a} costs $5"
    assert expand("${never closed", look) == "${never closed"


def test_a_call_is_made_only_when_allowed_and_then_for_stored_text_too() -> None:
    called: list[tuple[str, str]] = []

    def call(name: str, argument: str) -> str:
        called.append((name, argument))
        return "ran"

    assert expand("${system(touch x)}", look) == ""
    assert expand("${evil}", look) == ""
    assert called == []
    assert expand("${evil} ${uuid_exists 7}", look, call) == "ran ran"
    assert called == [("system", "rm -rf /"), ("uuid_exists", "7")]


def test_a_variable_that_names_itself_comes_to_an_end() -> None:
    assert expand("${loop}", look) == "${loop}"


def test_captures() -> None:
    assert expand_captures("a$1-$2$0$7", ("whole", "x", "y")) == "ax-ywhole"


def test_braces_that_do_not_close_leave_the_rest_to_be_expanded() -> None:
    assert expand("${${a}", look) == "${1"
    assert expand("{${a}} ${", look) == "{1} ${"
