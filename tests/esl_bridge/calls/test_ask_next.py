"""Whom the chain shall ask for a call that this bridge has lost."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from callflows.definition.kept import BRIDGES_BYTES, kept_bytes
from esl_bridge.calls.ask_next import NEXT_VARIABLE, ask_next
from esl_bridge.protocol.commands import safe_addresses

A, B, C = "10.0.0.1:8084", "10.0.0.2:8084", "10.0.0.3:8084"
CALL = str(uuid.UUID(int=1))


@pytest.mark.parametrize("own", [A, B, C])
def test_whoever_had_the_call_is_asked_last_wherever_it_was_in_the_list(own: str) -> None:
    order = ask_next(f"{A}|{B}|{C}|127.0.0.1:0/nobody async full", own, CALL).split("|")
    assert sorted(order) == [A, B, C]
    assert order[-1] == own


def test_the_calls_of_one_bridge_are_shared_out_among_the_others() -> None:
    calls = [str(uuid.UUID(int=number)) for number in range(400)]
    first = Counter(ask_next(f"{A}|{B}|{C} async full", A, call).partition("|")[0] for call in calls)
    assert set(first) == {B, C}
    assert min(first.values()) > 100


@pytest.mark.parametrize(
    "socket_data",
    ["", f"{A} async full", f"{A}|{A}|127.0.0.1:0/nobody async full", f"{B}|{C} async full", f"[::1]:8084|{A} async full"],
    ids=["nothing", "alone", "twice the same", "behind a proxy", "a name that no variable can hold"],
)
def test_the_dialplans_own_lists_do_where_no_order_is_known(socket_data: str) -> None:
    assert ask_next(socket_data, A, CALL) == ""


def test_of_very_many_there_are_as_many_as_their_share_can_hold() -> None:
    many = [f"10.100.100.{number}:18084" for number in range(100, 130)]
    order = ask_next(f"{'|'.join(many)} async full", many[3], CALL)
    assert len(order.split("|")) > 4
    assert many[3] not in order.split("|")
    assert kept_bytes(NEXT_VARIABLE, order) <= BRIDGES_BYTES
    assert safe_addresses(order)
