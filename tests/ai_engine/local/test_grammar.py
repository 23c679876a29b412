"""Which of a flow's examples the grammar holds: its final hearing must stay quicker than a worker's patience."""

from __future__ import annotations

from msgspec.structs import replace

from ai_engine.local.grammar import ANSWERS, MOST_SENTENCES, build_grammar, read_dictionary
from callflows.definition.flow import Snapshot
from callflows.demo import INTENTS
from tests.ai_engine.flows import demo_flow

EVERY = [example for intent in INTENTS for example in intent.utterances]
ONE = demo_flow().intents[0]
FLOW = replace(
    demo_flow(), slots=(), intents=tuple(replace(ONE, name=intent.name, utterances=intent.utterances) for intent in INTENTS)
)


def snapshot() -> Snapshot:
    return Snapshot((FLOW,))


def test_the_grammar_is_bounded_and_holds_the_first_examples_of_every_intent_evenly() -> None:
    grammar = build_grammar(snapshot(), read_dictionary())
    examples = [phrase for phrase in grammar.phrases if phrase not in ANSWERS]
    assert len(examples) <= MOST_SENTENCES < len(EVERY)
    share = MOST_SENTENCES // len(INTENTS)
    for intent in INTENTS:
        assert set(intent.utterances[:share]) <= set(examples)
        assert not set(intent.utterances[share:]) & set(examples)


def test_what_the_grammar_has_no_room_for_is_leant_to_all_the_same() -> None:
    grammar = build_grammar(snapshot(), read_dictionary())
    assert set(grammar.phrases) <= set(grammar.sentences)
    assert set(EVERY) <= set(grammar.sentences)
