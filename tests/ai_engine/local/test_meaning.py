"""Word vectors: what is near in meaning, and what tells intents apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ai_engine.local import meaning
from ai_engine.local.likely_intent import likeliest
from ai_engine.local.meaning import Meaning, the_meaning
from ai_engine.local.sounds import the_sounds

ORDERS = ("where is my order", "has my package been shipped", "my delivery has not arrived yet")
HOURS = ("when are you open", "what time do you close", "tell me your business hours")


def test_other_words_for_the_same_are_near_and_others_are_not() -> None:
    orders, hours = the_meaning().nearness(the_meaning().of("the courier has lost my parcel"), [ORDERS, HOURS])
    assert orders > 0.2 > 0.1 > hours


def test_an_example_is_as_near_as_can_be_but_for_the_others() -> None:
    (near,) = the_meaning().nearness(the_meaning().of(ORDERS[0]), [ORDERS])
    assert 0.6 < near < 1


def test_what_both_say_tells_nothing_apart() -> None:
    """"is" and "my" are of orders' examples only because both lists are short; what they are about counts more."""
    orders, hours = the_meaning().apart(the_meaning().of("is my shop shut"), [ORDERS, HOURS])
    assert hours > orders


def test_what_was_learnt_of_flows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "REMEMBERED", 2)
    one = Meaning()
    for number in range(4):
        one.nearness(one.of("where is it"), [[f"example {number}"]])
    assert one._learnt.cache_info().currsize == 2


def test_it_asks_nobody_on_the_internet_and_leaves_the_logs_alone() -> None:
    """In a process of its own, where nothing has been imported: a socket would be refused."""
    program = """
import logging, socket
def refuse(*_, **__): raise AssertionError("it wants the network")
socket.socket.connect = socket.getaddrinfo = refuse
from ai_engine.local.meaning import the_meaning
assert len(the_meaning().nearness(the_meaning().of("hello"), [["good morning"]])) == 1
root = logging.getLogger()
assert (root.level, root.handlers) == (logging.WARNING, []), (root.level, root.handlers)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_intent_without_examples_is_like_nothing_that_is_said() -> None:
    orders, nothing = the_meaning().nearness(the_meaning().of("where is my order"), [ORDERS, ()])
    assert nothing == -1.0 < orders
    assert likeliest(["where", "is", "it"], [ORDERS, ()], the_meaning(), the_sounds())[0] == 0
