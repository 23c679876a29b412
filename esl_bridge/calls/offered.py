"""A call that the chain offers on a connection: whether it is still to be had. Pure.

Owns the judgement until the call is taken. What the switch told of it may have waited, unread, while this process stood still;
by then another bridge, or the switch's own menu, can have the call, and neither says a word to us.
"""

from __future__ import annotations

from esl_bridge.calls.ownership import DIALPLAN_SURE_S
from esl_bridge.protocol.messages import Event

# An answer takes milliseconds, and the dialplan's timer three seconds at least: what is older than this was left unread. Not
# sooner: where hundreds of calls move at once an answer takes a second, and asking again took as much from the others.
FRESH_S = 2.5
# What the chain writes into `ll_holder` before it offers a call to a bridge.
IN_CHAIN = "chain"
# By how much the two ends of a connection may differ about one and the same moment: FreeSWITCH's own clock moves in steps of 20 ms.
CLOCK_S = 0.25
ANOTHER_VISIT = "the chain, in another visit"
# How the dialplan's extensions begin where a call has left the chain: the switch's own menu, or a person.
NOT_OURS = "ll-"


class Offered:
    """``now`` is when the switch is asked for the call by ``connect``."""

    def __init__(self, now: float) -> None:
        self._asked_at = self._opened_at = now
        self._sure_until = now + DIALPLAN_SURE_S
        self.first: Event | None = None
        """What the switch told first."""

    def was_queued(self, waited_s: float) -> None:
        """The switch had opened the connection so long before it was accepted."""
        self._opened_at -= waited_s

    def asked_again(self, now: float) -> None:
        self._asked_at = now

    def told(self, channel: Event, now: float) -> bool:
        """Whether this was read soon enough after it was asked for to be true still. Not: ask again, before anything is said.

        A switch may be slow itself. Who has asked again and stood still a second time is known by more than that.
        """
        limit_s = FRESH_S if self.first is None else DIALPLAN_SURE_S
        self.first = self.first or channel
        return now - self._asked_at <= limit_s

    def was_ours_alone(self, now: float) -> bool:
        """Whether no timer can have given the call to anybody else by now."""
        return now < self._sure_until

    def left_for(self, channel: Event) -> str:
        """Who has the call instead, empty when it is still offered here."""
        holder = channel.variable("ll_holder") or IN_CHAIN
        if holder != IN_CHAIN:
            return holder
        if channel.get("Caller-Destination-Number").startswith(NOT_OURS):
            return "the switch"
        if self.first is not None and self.first is not channel and _visit(channel) != _visit(self.first):
            return ANOTHER_VISIT
        began_s_ago = _visit_age_s(channel)
        # A visit begins before it opens its connection, and what the switch tells it tells after it was asked.
        if began_s_ago is not None and began_s_ago < self._asked_at - self._opened_at - CLOCK_S:
            return ANOTHER_VISIT
        return ""


def _visit(channel: Event) -> tuple[str, str]:
    """A later visit to the chain has another count, or comes after another owner, who emptied it."""
    return channel.variable("ll_owner") or "", channel.variable("ll_hops") or ""


def _visit_age_s(channel: Event) -> float | None:
    """By the switch's own clock, when it told of the call: each visit begins with a transfer, and a transfer with a new profile."""
    began_us, told_us = channel.get("Caller-Profile-Created-Time"), channel.get("Event-Date-Timestamp")
    return (int(told_us) - int(began_us)) / 1_000_000 if began_us.isdecimal() and told_us.isdecimal() else None
