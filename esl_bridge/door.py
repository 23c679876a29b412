"""The door of a port: which addresses come in, how many at once, and how many may stand there without having said who they are.

Owns the counting and closing of connections. How a connection proves what it is, and how long it may take, is its protocol's.
Nobody who says nothing keeps a call out: when too many wait, the one that has waited longest goes, of the address that has
most of them. A switch says who it is in milliseconds; whoever floods the door only pushes out its own connections.
And nobody who is gone keeps a place: a machine that loses its power says no good-bye, so the kernel asks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

# A flood of refusals must not become a flood of lines.
LOG_EVERY_S = 1.0
# Redis, the journal, the database, snapshots and what libraries keep open.
OTHER_FILES = 200
# After so much silence the peer's kernel is asked, and then again. A stream in use is never asked: its module pings every 15 s.
SILENCE_S, ASK_EVERY_S, ASK_TIMES = 30, 10, 3
# What waits for the peer, or these questions, go unanswered for so long: the connection is reset. Not before the last question, and
# long after a call's own timer (6 s) has taken the call elsewhere. Without it they are not asked while something waits: the
# kernel repeats that for a quarter of an hour when the machine is gone, and for good when its process never reads.
UNANSWERED_MS = 60_000


@dataclass(frozen=True, slots=True)
class Limits:
    """``inside``: connections that have said who they are. ``waiting``: those that have not. ``per_address``: both, 0 for
    as many as fit."""

    inside: int
    waiting: int
    per_address: int = 0

    @property
    def connections(self) -> int:
        return self.inside + self.waiting


@dataclass(slots=True, eq=False)
class Guest:
    """One connection that was let in; only its door changes it."""

    transport: asyncio.Transport
    address: str
    is_known: bool = False
    is_gone: bool = False


class Door:
    """For one event loop. ``port`` names it in the log."""

    def __init__(self, port: str, allow: Sequence[str], limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._port = port
        self._networks = [ipaddress.ip_network(text, strict=False) for text in allow]
        self._limits = limits
        self._clock = clock
        # Those of one address in the order in which they came; an address without any is not among them.
        self._waiting: dict[str, dict[Guest, None]] = {}
        self._inside: Counter[str] = Counter()
        self._turned_away: Counter[str] = Counter()
        self._logged_at = float("-inf")

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def inside(self) -> int:
        return self._inside.total()

    def enter(self, transport: asyncio.Transport) -> Guest | None:
        """None: it is closed already. Whoever is let in must be given to :meth:`left` at its end."""
        address = _address_of(transport)
        if address is None or not self._is_listed(address):
            self._note("not on the list of addresses", address)
            transport.abort()
            return None
        if not self._make_room(address):
            self._note("the port is full", address)
            transport.close()
            return None
        _notice_its_end(transport)
        guest = Guest(transport, address)
        self._waiting.setdefault(address, {})[guest] = None
        return guest

    def identified(self, guest: Guest) -> bool:
        """It has said who it is. False: there is no place (any more), and its protocol closes it."""
        if guest.is_known:
            return True
        if guest.is_gone or self.inside >= self._limits.inside:
            return False
        self._stop_waiting(guest)
        guest.is_known = True
        self._inside[guest.address] += 1
        return True

    def left(self, guest: Guest) -> None:
        """Its connection is closed. A second time does nothing."""
        if guest.is_gone:
            return
        guest.is_gone = True
        if not guest.is_known:
            self._stop_waiting(guest)
            return
        self._inside[guest.address] -= 1
        if not self._inside[guest.address]:
            del self._inside[guest.address]

    # --- Inside ---

    def _is_listed(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._networks)

    def _make_room(self, address: str) -> bool:
        if self.inside >= self._limits.inside:
            return False
        own = self._waiting.get(address, {})
        most = self._limits.per_address
        if most and len(own) + self._inside[address] >= most:
            if not own:
                return False
            self._turn_out(next(iter(own)))
        elif self.waiting >= self._limits.waiting:
            greediest = max(self._waiting.values(), key=len)
            self._turn_out(next(iter(greediest)))
        return True

    def _turn_out(self, guest: Guest) -> None:
        self._note("it did not say who it is, and others wait", guest.address)
        self._stop_waiting(guest)
        guest.is_gone = True
        guest.transport.abort()

    def _stop_waiting(self, guest: Guest) -> None:
        own = self._waiting[guest.address]
        del own[guest]
        if not own:
            del self._waiting[guest.address]

    def _note(self, why: str, address: str | None) -> None:
        self._turned_away[why] += 1
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            for reason, count in self._turned_away.items():
                log.warning("connections were turned away", port=self._port, why=reason, count=count, last=address)
            self._turned_away.clear()


def make_room_for(connections: int) -> None:
    """Let this process have that many open files, as far as the system allows; say so when it does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    able = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < able:
        resource.setrlimit(resource.RLIMIT_NOFILE, (able, hard))
    if able < wanted:
        log.warning("the system lets this process have fewer open files than its limits need", files=able, wanted=wanted)


def _address_of(transport: asyncio.Transport) -> str | None:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else None


def _notice_its_end(transport: asyncio.Transport) -> None:
    """Let the kernel find out when the peer is gone without a word. A process that is merely frozen has a kernel that answers."""
    opened = transport.get_extra_info("socket")
    if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASK_EVERY_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, ASK_TIMES)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
