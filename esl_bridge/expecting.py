"""What a call's session waits for behind each command it sends, so that the switch's answer finds its meaning. Pure."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

import msgspec

from esl_bridge.calls import orders as order


class Expecting(StrEnum):
    CHANNEL = "channel"
    CHANNEL_AGAIN = "channel_again"
    NOTHING = "nothing"
    TIMER_ID = "timer_id"
    HOLDER = "holder"
    TAKEN = "taken"
    STREAM = "stream"
    KEY = "key"
    OFFER = "offer"


class Tag(msgspec.Struct, frozen=True, gc=False):
    expecting: Expecting
    what: str


def tag_of(wanted: order.Order) -> Tag:
    """Of the commands that carry an order out."""
    return _tag(expected_of(wanted), type(wanted).__name__)


_tag = lru_cache(maxsize=64)(Tag)


def expected_of(wanted: order.Order) -> Expecting:
    match wanted:
        case order.ArmTimer():
            return Expecting.TIMER_ID
        case order.StartAudio():
            return Expecting.STREAM
        case order.SetVariables() if keeps_key(wanted):
            return Expecting.KEY
        case order.SetVariables() if "owner" in wanted.values:
            return Expecting.TAKEN
        case _:
            return Expecting.NOTHING


def keeps_key(wanted: order.Order) -> bool:
    """Whether it keeps an action's key on the call, behind which the action may begin."""
    return isinstance(wanted, order.SetVariables) and wanted.before_acting
