"""The dialplan applications but for playing (:mod:`simulator.playback`), `socket` and `bridge`.

Owns what each does to the call. The table at the end is every application this switch knows.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

import structlog

from simulator.arguments import separate
from simulator.bridging import bridge
from simulator.outbound import socket
from simulator.playback import play_and_get_digits, playback
from simulator.session import Application, Session

log = structlog.get_logger(__name__)


async def answer(session: Session, _argument: str) -> None:
    session.switch.answer(session)


async def set_variable(session: Session, argument: str) -> None:
    """`set`: ``name=value`` or ``name,value``; no value removes. The value has been expanded, and is once more."""
    name, _, value = argument.partition("=" if "=" in argument else ",")
    if name.strip():
        session.channel.set(name.strip(), session.switch.expand(session, value))


async def export(session: Session, argument: str) -> None:
    """As ``set``, and for the legs of a ``bridge`` besides: ``export_vars`` names it, once more each time."""
    words = argument.removeprefix("nolocal:")
    await set_variable(session, words)
    name = words.partition("=")[0].strip()
    if name:
        session.channel.set("export_vars", ",".join(filter(None, (session.channel.get("export_vars"), name))))


async def multiset(session: Session, argument: str) -> None:
    found = re.match(r"\^\^(.)", argument)
    for pair in argument[3:].split(found[1]) if found else argument.split():
        await set_variable(session, pair)


async def unset(session: Session, argument: str) -> None:
    session.channel.set(argument.strip(), None)


async def sleep(session: Session, argument: str) -> None:
    """Keys pressed meanwhile stay on the line."""
    if argument.strip().isdecimal():
        await session.wait(int(argument) / 1000)


async def park(session: Session, _argument: str) -> None:
    session.switch.fire("CHANNEL_PARK", session.channel)
    await session.wait_until(asyncio.Event())
    session.switch.fire("CHANNEL_UNPARK", session.channel)


async def transfer(session: Session, argument: str) -> None:
    words = [word for word in separate(argument) if word not in ("-bleg", "-both")]
    if words:
        dialplan = words[1] if len(words) > 1 else "XML"
        context = words[2] if len(words) > 2 else session.channel.identity.context
        session.transfer(words[0], dialplan, context)


async def hang_up(session: Session, argument: str) -> None:
    session.hang_up(argument.strip() or "NORMAL_CLEARING")


async def sched_transfer(session: Session, argument: str) -> None:
    """``[+]seconds extension [dialplan [context]]``, in the call's own group."""
    when, _, destination = argument.strip().partition(" ")
    call_uuid = session.channel.uuid
    session.switch.schedule(when, call_uuid, f"uuid_transfer {call_uuid} {destination}")


async def sched_hangup(session: Session, argument: str) -> None:
    when, _, cause = argument.strip().partition(" ")
    call_uuid = session.channel.uuid
    session.switch.schedule(when, call_uuid, f"uuid_kill {call_uuid} {cause}")


async def sched_cancel(session: Session, argument: str) -> None:
    session.switch.scheduler.delete(argument.strip() or session.channel.uuid)


async def write_log(_session: Session, argument: str) -> None:
    level, _, text = argument.partition(" ")
    log.info("switch_log", level_asked=level, pii_text=text)


async def do_nothing(_session: Session, _argument: str) -> None:
    """Applications whose effect is outside what is simulated."""


APPLICATIONS: Final[dict[str, Application]] = {
    "answer": answer,
    "bridge": bridge,
    "export": export,
    "hangup": hang_up,
    "info": do_nothing,
    "log": write_log,
    "multiset": multiset,
    "park": park,
    "play_and_get_digits": play_and_get_digits,
    "playback": playback,
    "pre_answer": do_nothing,
    "ring_ready": do_nothing,
    "sched_cancel": sched_cancel,
    "sched_hangup": sched_hangup,
    "sched_transfer": sched_transfer,
    "set": set_variable,
    "sleep": sleep,
    "socket": socket,
    "transfer": transfer,
    "unset": unset,
}
