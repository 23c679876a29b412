"""Which TCP ports the stack listens on, found free or refused before anything starts.

A port in use is learnt by binding it; whether somebody listens on it, from the kernel's table, so that no listener is
startled by a connection without a word (an ESL or WebSocket server would rightly log it as a malformed peer).
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from console.launcher.errors import StartError

# Below Linux's range for outgoing connections (32768 and up), so that none of those takes one between choice and use.
FREE_PORTS = range(20_000, 32_000)
LISTEN_STATE = "0A"


@dataclass(frozen=True, slots=True)
class Listener:
    """``setting`` is the environment name that moves it."""

    part: str
    setting: str
    host: str
    port: int

    @property
    def value(self) -> str:
        return str(self.port)


def assign(listeners: Sequence[Listener], ports_from: str) -> list[Listener]:
    """The same listeners on consecutive ports from ``ports_from``; on free ports for "0"; unchanged for ""."""
    if not ports_from:
        return list(listeners)
    if not ports_from.isdecimal() or int(ports_from) > 65_535 - len(listeners):
        raise StartError(f"LIFELINE_RUN_PORTS_FROM is {ports_from!r}: use a port number, or 0 for any free ports.")
    if base := int(ports_from):
        return [replace(listener, port=base + index) for index, listener in enumerate(listeners)]
    chosen: list[Listener] = []
    candidates = iter(random.SystemRandom().sample(FREE_PORTS, len(FREE_PORTS)))
    for listener in listeners:
        port = next((port for port in candidates if refusal(listener.host, port) is None), None)
        if port is None:
            raise StartError("No free TCP port was found.")
        chosen.append(replace(listener, port=port))
    return chosen


def as_settings(listeners: Iterable[Listener]) -> dict[str, str]:
    return {listener.setting: listener.value for listener in listeners}


def check(listeners: Sequence[Listener]) -> None:
    """Raises StartError with one line for each port that cannot be had."""
    problems = []
    seen: dict[int, Listener] = {}
    for listener in listeners:
        if (other := seen.setdefault(listener.port, listener)) is not listener:
            names = f"{listener.setting} and {other.setting}"
            problems.append(f"{names} are both {listener.port}: give each a port of its own.")
        elif (reason := refusal(listener.host, listener.port)) is not None:
            problems.append(
                f"{listener.setting}: port {listener.port} on {listener.host} {reason}. Stop what uses it, or choose "
                f"another: {listener.setting}={suggestion(listener)} make run"
            )
    if problems:
        raise StartError("\n".join(problems))


def refusal(host: str, port: int) -> str | None:
    """Why ``port`` cannot be listened on, or None. SO_REUSEADDR as servers set it: closed connections do not count."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"is taken{_by_whom(port)}"
        if error.errno == errno.EACCES:
            return "needs root"
        return f"cannot be used ({error.strerror})"
    return None


def _by_whom(port: int) -> str:
    """`` by python3 (pid 4711)`` when this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            address, pid = connection.laddr, connection.pid
            if connection.status == psutil.CONN_LISTEN and address and address[1] == port and pid:
                return f" by {psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        pass
    return ""


def suggestion(listener: Listener) -> str:
    """The setting with the next port that is free, to be copied."""
    for port in range(listener.port + 1, min(listener.port + 1000, 65_536)):
        if refusal(listener.host, port) is None:
            return replace(listener, port=port).value
    return replace(listener, port=0).value


def listening_ports() -> set[int]:
    """Every TCP port on this machine that somebody listens on. Where the kernel shows no table, psutil is asked."""
    paths = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    found: set[int] = set()
    read_any = False
    for path in paths:
        try:
            lines = path.read_text().splitlines()[1:]
        except OSError:
            continue
        read_any = True
        for line in lines:
            fields = line.split()
            if fields[3] == LISTEN_STATE:
                found.add(int(fields[1].rsplit(":", 1)[1], 16))
    if not read_any:
        listeners = (c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
        found = {address[1] for address in listeners if address}
    return found
