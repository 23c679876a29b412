"""`originate`: a call that the switch places, to a simulated person who answers it.

Owns the command's syntax. Who answers is decided by the switch's ``answering`` function.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING, Final

from simulator.channel import Identity
from simulator.dialplan import Action

if TYPE_CHECKING:
    from simulator.switch import Switch

_ENDPOINT: Final = re.compile(r"(?:\{[^}]*\})?(?:sofia/[^/]+|user|loopback)/([^@/]+)(?:@([^:/]+)(?::(\d+))?)?(?:/\S*)?")
_USAGE: Final = "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] …\n"


async def originate(switch: Switch, argument: str) -> str:
    """Answers ``+OK <uuid>`` once the person has picked up, or ``-ERR`` and the cause."""
    words = argument.split()
    endpoint = _ENDPOINT.fullmatch(words[0]) if words else None
    if len(words) < 2 or endpoint is None:
        return _USAGE
    config = switch.config.agents
    port = int(endpoint[3] or 5060)
    if port in config.refused_ports:
        return "-ERR NORMAL_TEMPORARY_FAILURE\n"
    application = re.fullmatch(r"&(\w+)(?:\((.*)\))?", words[1])
    identity = Identity(
        caller_number=endpoint[1], destination=endpoint[1] if application else words[1],
        dialplan=words[2] if len(words) > 2 else "XML", context=words[3] if len(words) > 3 else "default",
        address=endpoint[2] or "127.0.0.1", port=port,
    )  # fmt: skip
    await switch.clock.sleep(random.uniform(*config.ring_s))
    first = Action(application[1], application[2] or "") if application else None
    session = switch.place_call(identity, switch.answering(endpoint[1]), only=first)
    switch.answer(session)
    await asyncio.sleep(0)
    return f"+OK {session.channel.uuid}\n"
