"""Equipment that does it another way, and lines that are no good: no offer in the INVITE, keys as tones, lost packets."""

from __future__ import annotations

import os

import pytest

from tests.freeswitch.figures import turns_of_newest_call
from tests.freeswitch.telephone import LIMIT_S
from tests.freeswitch.test_telephone_calls import (
    NUMBER,
    asks_for_the_balance,
    bridge_answers,
    end,
    pytestmark,
    served,
    speech,
    telephone,
)
from tests.stack import Stack

__all__ = ["pytestmark"]
# What FreeSWITCH answers to an INVITE without SDP where the profile does not say otherwise (tried).
WITHOUT_3PCC = 480


def test_a_caller_whose_exchange_lets_the_switch_offer_is_understood_and_has_keys(stack: Stack) -> None:
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER, offers=False, wait=False)
        stack.until(lambda: phone.over.is_set() or phone.answered.is_set(), "an answer", LIMIT_S)
        if phone.answers[-1] == WITHOUT_3PCC:
            pytest.skip("the switch refuses an INVITE without SDP: its profile has no enable-3pcc")
        assert phone.answered.is_set(), phone.answers
        phone.hears_silence(1.0)
        asks_for_the_balance(stack, phone, before)


@pytest.mark.skipif("FREESWITCH_TONES" not in os.environ, reason="no start_dtmf before the chain: FREESWITCH_TONES=1 where it is")
def test_keys_that_are_tones_in_the_audio_serve_the_caller(stack: Stack) -> None:
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.dial(NUMBER)
        phone.is_told_something()
        phone.press_tones("1")
        phone.hears_silence(1.5)
        phone.press_tones("4217#")
        served(stack, "served_by_ai", before)
        end(stack, phone, before)


@pytest.mark.parametrize("codec", [0, 8], ids=["PCMU", "PCMA"])
def test_a_noisy_line_that_loses_packets_is_no_voice_and_its_caller_is_understood(stack: Stack, codec: int) -> None:
    bridge_answers(stack)
    before = stack.figures()
    with telephone() as phone:
        phone.noise_peak, phone.loses = 100, 0.1
        phone.dial(NUMBER, codec=codec)
        phone.hears_silence(1.0)
        phone.hears_silence(3.0)
        assert turns_of_newest_call(stack) == [], "it was taken for an answer"
        phone.say(speech("what is my balance"))
        stack.until(lambda: turns_of_newest_call(stack) == [("understood", "balance")], "what they said was heard to its end", 5)
        end(stack, phone, before)
