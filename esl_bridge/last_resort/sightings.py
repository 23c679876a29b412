"""What the switch's own events say of calls that no bridge has, as entries for the journal. Pure.

Owns the judgement: which call is in the dialplan's last resort, what its caller demonstrably heard, and how it ended there.
A caller heard the menu when a prompt of it began to play while they were on the line. Of a call whose prompt was missed, a
key that the menu took proves the same; of one with neither nothing is claimed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from esl_bridge.calls.from_switch import said_good_bye
from esl_bridge.calls.ownership import epoch_of
from esl_bridge.journal.events import CallEnded, JournalEvent, LastResortHeard, LastResortLeft
from esl_bridge.protocol.commands import can_name
from esl_bridge.protocol.messages import Event

EVENTS = ("PLAYBACK_START", "CHANNEL_HANGUP_COMPLETE")
# Where the deployed dialplan serves a call without any bridge.
EXTENSIONS = ("ll-last-resort", "ll-lr", "ll-key-", "ll-human")
AGENT = "ll-agent-"
# One letter a visit; only calls that have one are told to us.
VISITS = "ll_last_resort_visits"
# What the chain writes as the holder when no bridge has the call.
CHAIN = "chain"
# Not a prompt: what parts a try from the next.
SILENCE = "silence_stream:"
# More calls at once than a switch has; beyond it the oldest are forgotten, and told once more if they are heard of again.
MOST_CALLS = 20_000


class Sighting(NamedTuple):
    """``epoch`` is the last owner's: what a bridge tells of a later one stands above it."""

    call_uuid: str
    epoch: int
    event: JournalEvent


class Sightings:
    """One switch's, for as long as its events come."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, str] = OrderedDict()

    def of(self, event: Event) -> Iterator[Sighting]:
        call_uuid = event.get("Unique-ID")
        visits = event.variable(VISITS) or ""
        if not visits or not can_name(call_uuid):
            return
        is_there = event.get("Caller-Destination-Number").startswith(EXTENSIONS)
        epoch = epoch_of(event.variable("ll_owner") or "")
        if event.name == "PLAYBACK_START":
            file = event.get("Playback-File-Path")
            # After a hang-up FreeSWITCH still starts what follows in the dialplan (seen), and nobody hears it.
            if is_there and event.get("Answer-State") != "hangup" and not file.startswith(SILENCE):
                yield from self._began(call_uuid, epoch, visits, event, f"PLAYBACK_START {_first(file)}")
        elif event.name == "CHANNEL_HANGUP_COMPLETE":
            heard = self._heard.pop(call_uuid, "")
            if is_there or _was_passed_on(event):
                choice = event.variable("ll_lr_choice") or ""
                if heard != visits and choice:
                    yield Sighting(call_uuid, epoch, _heard(event, f"key taken by the menu: {choice}"))
                yield Sighting(call_uuid, epoch, LastResortLeft(choice, _met_person(event), heard == visits or bool(choice)))
                yield Sighting(call_uuid, epoch, CallEnded(event.get("Hangup-Cause"), _ended_by(event)))

    def _began(self, call_uuid: str, epoch: int, visits: str, event: Event, proof: str) -> Iterator[Sighting]:
        """Once a visit: the first prompt of it."""
        if self._heard.get(call_uuid) == visits:
            return
        self._heard[call_uuid] = visits
        while len(self._heard) > MOST_CALLS:
            self._heard.popitem(last=False)
        yield Sighting(call_uuid, epoch, _heard(event, proof))


def _heard(event: Event, proof: str) -> LastResortHeard:
    slug, _, number = (event.variable("ll_flow") or "").partition(":")
    return LastResortHeard(
        caller=event.get("Caller-Caller-ID-Number"),
        destination=event.variable("ll_dialled") or event.variable("sip_req_user") or "",
        flow_slug=slug,
        flow_version=int(number) if number.isdecimal() and len(number) < 10 else 0,
        by_chain=(event.variable("ll_holder") or CHAIN) == CHAIN,
        proof=proof,
    )


def _first(file: str) -> str:
    """The base name of a file, or of the first of several that are played as one."""
    return file if file.startswith("tone_stream:") else file.removeprefix("file_string://").partition("!")[0].rpartition("/")[2]


def _was_passed_on(event: Event) -> bool:
    """A person to whom the menu led has sent them to another: that is rung in the chain, and no bridge has the call."""
    return event.get("Caller-Destination-Number").startswith(AGENT) and (event.variable("ll_holder") or CHAIN) == CHAIN


def _met_person(event: Event) -> bool:
    return event.variable("originate_disposition") == "SUCCESS"


def _ended_by(event: Event) -> str:
    """The dialplan's own goodbye, something else on the switch's side (a timeout, a command), or the caller."""
    if event.variable("current_application") == "hangup":
        return "lifeline"
    return "switch" if said_good_bye(event) else "caller"
