"""The headers of a call's variables, which most events repeat."""

from __future__ import annotations

from simulator.channel import Channel, Identity


def test_headers_follow_every_change_of_a_variable_and_its_order() -> None:
    channel = Channel(Identity(), 0.0, 1, "u")
    channel.variables.clear()
    channel.set("a", "1")
    channel.set("b", "2")
    assert channel.variable_headers() == (("variable_a", "1"), ("variable_b", "2"))
    assert channel.variable_headers() is channel.variable_headers()
    channel.set("a", "1")  # a variable that is set again moves to the end
    assert channel.variable_headers() == (("variable_b", "2"), ("variable_a", "1"))
    channel.variables |= {"c": "3"}
    assert channel.variable_headers()[-1] == ("variable_c", "3")
    channel.set("b", None)
    assert channel.variable_headers() == (("variable_a", "1"), ("variable_c", "3"))


def test_a_block_keeps_what_the_variables_were_when_it_was_made() -> None:
    channel = Channel(Identity(), 0.0, 1, "u")
    channel.variables.clear()
    channel.set("a", "one two")
    before = channel.variables.block()
    channel.set("a", "3")
    channel.set("b", "4")
    channel.set("b", None)
    assert (before.text, before.headers) == ("variable_a: one%20two\n", (("variable_a", "one two"),))
    assert channel.variables.block().text == "variable_a: 3\n"
