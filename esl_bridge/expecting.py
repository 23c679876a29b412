"""What a call's session waits for behind each command it sends, so that the switch's answer finds its meaning. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from esl_bridge.calls import orders as order
from esl_bridge.calls.actions_taken import ACTION_KEY


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


@dataclass(frozen=True, slots=True)
class Tag:
    expecting: Expecting
    what: str


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
    return isinstance(wanted, order.SetVariables) and ACTION_KEY in wanted.values
