"""The `socket` application: the switch connects to an app and lets it drive the call.

The order of waiting, parking and going on is mod_event_socket.c's `socket_function`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import select
import socket as sockets
from typing import Final

import structlog

from simulator.listener import Listener
from simulator.session import Session

log = structlog.get_logger(__name__)
_DEFAULT_PORT = 8084
_IPV4: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


async def socket(session: Session, argument: str) -> None:
    """``host:port|host:port … [async] [full]``. With nobody listening the dialplan goes on at once.

    In async mode the call stands still until the app says ``connect``, then is parked until it ends, moves, or a
    socket of its closes. Without ``socket_resume`` what runs then comes to its end first, and an app that closes
    before ``connect`` leaves the call parked. In sync mode with ``socket_resume`` the call is stranded.
    """
    words = argument.split()
    opened = await _connect(session, words[0].split("|")) if words else None
    if opened is None:
        return
    is_async = "async" in words[1:]
    listener = Listener(session.switch, *opened, session, "async" if is_async else "static")
    session.on_over.append(listener.on_call_over)
    serving = session.switch.spawn(_serve(listener, session))
    if is_async:
        await session.hold(lambda: listener.has_connected or listener.has_ended)
        await _park(session)
        session.go_on()
    else:
        await session.hold(serving.done)


async def _park(session: Session) -> None:
    if not session.ready():
        return
    session.control_lost.clear()
    session.switch.fire("CHANNEL_PARK", session.channel)
    await session.wait_until(session.control_lost)
    session.switch.fire("CHANNEL_UNPARK", session.channel)


async def _connect(session: Session, places: list[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """The first that accepts. No time limit, as in FreeSWITCH: a listener with a full queue holds the call."""
    refused, unreached = [], session.switch.unreached
    for place in places:
        address, has_path, path = place.strip().partition("/")
        if has_path:
            session.channel.set("socket_path", path)
        host, _, port = address.rpartition(":")
        if not host:
            host, port = address, str(_DEFAULT_PORT)
        session.channel.set("socket_host", host)
        try:
            opened = await _open(host, int(port))
        except (OSError, ValueError) as error:
            refused.append(f"{place}: {error}")
        else:
            unreached.clear()
            return opened
    if not unreached.issuperset(refused):  # once, and not for each of a thousand calls
        unreached.update(refused)
        log.info("socket_refused", places=refused)
    return None


async def _open(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """On the same machine it is known at once whether anybody listens. FreeSWITCH's thread does nothing else meanwhile, either."""
    if _IPV4.fullmatch(host) is None:
        return await asyncio.open_connection(host, port)
    opened = sockets.socket()
    try:
        opened.setblocking(False)
        failed = opened.connect_ex((host, port))
        if failed == errno.EINPROGRESS:
            poll = select.poll()
            poll.register(opened, select.POLLOUT)
            if poll.poll(0):
                failed = opened.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR)
        if failed == errno.EINPROGRESS:
            await asyncio.get_running_loop().sock_connect(opened, (host, port))
        elif failed:
            raise OSError(failed, os.strerror(failed))
        return await asyncio.open_connection(sock=opened)
    except BaseException:
        opened.close()
        raise


async def _serve(listener: Listener, session: Session) -> None:
    try:
        await listener.serve()
    finally:
        session.on_over.remove(listener.on_call_over)
        if listener.resumes or session.channel.get("socket_resume") == "true":
            session.eject()
        session.control_lost.set()
        session.wake()
