"""Look-ups in a snapshot, and its way to a file and back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from callflows.definition.codec import decode_version, encode_version
from callflows.definition.errors import BadSnapshot
from callflows.definition.flow import Snapshot, decode_snapshot, encode_snapshot
from tests.ivr_fallback.flows import whole_flow


def test_the_newest_version_answers_a_number_and_a_star_takes_the_others() -> None:
    first = whole_flow()
    second = replace(first, number=2)
    wild = replace(first, slug="any", destination_number="*")
    snapshot = Snapshot((second, wild, first))
    assert snapshot.for_number("9200") is second
    assert snapshot.for_number("1") is wild
    assert Snapshot((first,)).for_number("1") is None
    assert snapshot.version("utility", 1) is first
    assert snapshot.version("utility", 3) is None


def test_a_number_that_a_flow_gave_up_is_no_longer_its_own() -> None:
    old = replace(whole_flow(), number=5)
    moved = replace(old, number=6, destination_number="9300")
    heir = replace(old, slug="heir", number=1)
    snapshot = Snapshot((moved, heir, old))
    assert snapshot.for_number("9200") is heir
    assert Snapshot((moved, old)).for_number("9200") is None


def test_look_ups_in_a_version() -> None:
    flow = whole_flow()
    assert flow.intent("balance") is flow.intents[0]
    assert flow.intent_for_digit("9") is flow.intents[1]
    assert flow.slot("language") is flow.slots[1]
    assert (flow.intent("x"), flow.intent_for_digit("5"), flow.slot("x"), flow.phrase("x")) == (None,) * 4
    assert flow.phrase(" Forty-Two ") == flow.phrases["forty-two"]


def test_a_snapshot_and_a_version_survive_their_encoding() -> None:
    snapshot = Snapshot((whole_flow(),))
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    assert decode_version(encode_version(whole_flow())) == whole_flow()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"flows": [{"slug": 5}]}', b'{"flows": [], "format": 99}'])
def test_a_bad_snapshot_is_refused_with_its_fault(data: bytes) -> None:
    with pytest.raises(BadSnapshot):
        decode_snapshot(data)


def test_a_bad_version_is_refused_with_its_fault() -> None:
    with pytest.raises(BadSnapshot, match="slug"):
        decode_version('{"slug": 5}')
