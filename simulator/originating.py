"""`originate`: a call that the switch places, to a simulated person who answers it.

Owns the command's syntax. Who answers is decided by the switch's ``answering`` function.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Final

from simulator.arguments import separate
from simulator.channel import Identity
from simulator.dialplan import Action

if TYPE_CHECKING:
    from simulator.switch import Switch

_ENDPOINT: Final = re.compile(r"(?:sofia/[^/]+|user)/(?P<user>[^@/]+)(?:@(?P<host>[^:/]+)(?::(?P<port>\d+))?)?")
_NULL: Final = re.compile(r"null/(?P<name>\S+)")
_LOOPBACK: Final = re.compile(r"loopback/(?P<number>[^/]+)(?:/(?P<context>[^/]+))?(?:/\S+)?")
_USAGE: Final = "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] …\n"


async def originate(switch: Switch, argument: str) -> str:
    """Answers ``+OK <uuid>`` once the person has picked up, or ``-ERR`` and the cause.

    A loopback's far leg *is* a call to its number; the simulated person takes the place of its near leg, whatever the
    near leg was to do.
    """
    words = separate(argument)
    found = re.fullmatch(r"(?:\{(?P<options>[^}]*)\})?(?P<endpoint>\S+)", words[0]) if len(words) > 1 else None
    if found is None:
        return _USAGE
    options = dict(pair.partition("=")[::2] for pair in (found["options"] or "").split(",") if pair)
    target = words[1:]
    application = re.fullmatch(r"&(\w+)(?:\((.*)\))?", " ".join(target))
    only = [Action(application[1], application[2] or "")] if application else []
    if loop := _LOOPBACK.fullmatch(found["endpoint"]):
        name, only = loop["number"], []
        identity = Identity(destination=loop["number"], context=loop["context"] or "default")
    elif endpoint := _ENDPOINT.fullmatch(found["endpoint"]):
        name = endpoint["user"]
        identity = Identity(
            caller_number=name, destination=name if only else target[0],
            dialplan=target[1] if len(target) > 1 else "XML", context=target[2] if len(target) > 2 else "default",
            address=endpoint["host"] or "127.0.0.1", port=int(endpoint["port"] or 5060),
        )  # fmt: skip
    elif null := _NULL.fullmatch(found["endpoint"]):
        name = null["name"]
        identity = Identity(caller_number=name, destination=name, direction="outbound", source="mod_loopback")
    else:
        return "-ERR CHAN_NOT_IMPLEMENTED\n"
    if identity.port in switch.config.agents.refused_ports:
        return "-ERR NORMAL_TEMPORARY_FAILURE\n"
    if identity.source != "mod_loopback":  # a null channel answers at once
        await switch.clock.sleep(random.uniform(*switch.config.agents.ring_s))
    call_uuid = options.get("origination_uuid", "")
    session = switch.place_call(identity, switch.answering(name), only=only, call_uuid=call_uuid, variables=options)
    if identity.source == "mod_loopback" and not only:
        session.transfer(target[0], target[1] if len(target) > 1 else "XML", target[2] if len(target) > 2 else "default")
    if not loop:
        switch.answer(session)  # a loopback is answered by what runs at its number
    return f"+OK {session.channel.uuid}\n"
