"""The `socket` application: the switch connects to an app and lets it drive the call."""

from __future__ import annotations

import asyncio

import structlog

from simulator.listener import Listener
from simulator.session import Session

log = structlog.get_logger(__name__)
_DEFAULT_PORT = 8084


async def socket(session: Session, argument: str) -> None:
    """``host:port|host:port … [async] [full]``. With nobody listening the dialplan goes on at once.

    In async mode the call is parked until it ends, moves, or its owner goes. Without ``socket_resume`` an owner that
    leaves lets what runs come to its end first, and one that leaves before ``connect`` leaves the call parked.
    """
    words = argument.split()
    if not words:
        return
    opened = await _connect(words[0].split("|"))
    if opened is None:
        return
    reader, writer, host = opened
    if not session.ready():
        writer.close()
        return
    session.channel.set("socket_host", host)
    listener = Listener(session.switch, reader, writer, session, "async" if "async" in words[1:] else "static")
    owner_gone = asyncio.Event()
    session.on_over.append(listener.on_call_over)
    session.switch.spawn(_serve(listener, owner_gone, session))
    session.switch.fire("CHANNEL_PARK", session.channel)
    await session.wait_until(owner_gone)
    session.switch.fire("CHANNEL_UNPARK", session.channel)


async def _connect(places: list[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str] | None:
    """The first that accepts. No time limit, as in FreeSWITCH: a listener with a full queue holds the call."""
    for place in places:
        host, _, port = place.strip().rpartition(":")
        if not host:
            host, port = place.strip(), str(_DEFAULT_PORT)
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except (OSError, ValueError) as error:
            log.info("socket_refused", place=place, error=str(error))
            continue
        return reader, writer, host
    return None


async def _serve(listener: Listener, owner_gone: asyncio.Event, session: Session) -> None:
    try:
        await listener.serve()
    finally:
        session.on_over.remove(listener.on_call_over)
        if listener.resumes or session.channel.get("socket_resume") == "true":
            session.eject()
        elif listener.has_connected:
            owner_gone.set()
            session.wake()
