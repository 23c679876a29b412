"""What one recogniser process does between messages: decoders made before callers come, of which only the first is warmed."""

from __future__ import annotations

import pytest

from ai_engine.local import recogniser_process as process
from ai_engine.local.grammar import Grammar
from ai_engine.local.recogniser_process import MAX_DECODERS, READY_DECODERS, Close, NewGrammar, Open, Opened, Streams

GRAMMAR = Grammar("", "")


class FakeDecoder:
    """Counts those that were made, and those that had to be warmed."""

    made = warmed = 0

    def __init__(self, grammar: Grammar, mean: str = "") -> None:
        self.grammar = grammar
        self.mean = mean or "warm"
        type(self).made += 1
        type(self).warmed += not mean

    def start(self) -> None: ...

    def abandon(self) -> None: ...


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    monkeypatch.setattr(process, "Decoder", FakeDecoder)
    monkeypatch.setattr(FakeDecoder, "made", 0)
    monkeypatch.setattr(FakeDecoder, "warmed", 0)
    return Streams(GRAMMAR)


def idle(streams: Streams) -> None:
    while streams.wants_more:
        streams.make_one()


def test_every_decoder_is_made_before_callers_come(streams: Streams) -> None:
    idle(streams)
    assert (FakeDecoder.made, FakeDecoder.warmed) == (MAX_DECODERS, 1)
    opened = [streams.answer(Open(number)) for number in range(MAX_DECODERS + 1)]
    assert opened == [Opened(number, number < MAX_DECODERS) for number in range(MAX_DECODERS + 1)]
    assert FakeDecoder.made == MAX_DECODERS, "none was made while a caller waited"
    assert not streams.wants_more


def test_while_somebody_speaks_no_more_are_made_than_the_next_callers_need(streams: Streams) -> None:
    streams.answer(Open(1))
    idle(streams)
    assert FakeDecoder.made == 1 + READY_DECODERS
    streams.answer(Close(1))
    idle(streams)
    assert FakeDecoder.made == MAX_DECODERS


def test_a_new_grammar_gets_its_own_decoders_and_needs_no_warming(streams: Streams) -> None:
    idle(streams)
    streams.answer(Open(1))
    newer = Grammar("newer", "")
    streams.answer(NewGrammar(newer))
    streams.answer(Close(1))
    idle(streams)
    assert (FakeDecoder.made, FakeDecoder.warmed) == (2 * MAX_DECODERS, 1)
    streams.answer(Open(2))
    assert all(decoder.grammar is newer for decoder in (*streams._idle, *streams._busy.values()))
