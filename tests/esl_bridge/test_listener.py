"""The port of a loop that is really blocked: refused while it stands still, open again when it runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest
import uvloop

from esl_bridge.listener import Listener
from tests.free_ports import free_port

STALL_S = 0.4
DEADLINE_S = 20.0
BURST = 100


class Greeter(asyncio.Protocol):
    greeted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"connect\n\n")  # uvloop's own class does not inherit from it
        Greeter.greeted += 1


class Served:
    """A listener in a loop of its own thread, which the test can block by a call that really blocks."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self.loop = new_loop()
        self.listener = Listener(Greeter, self.host, self.port, stall_s=STALL_S)
        self._running: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._open = asyncio.run_coroutine_threadsafe(self._begin(), self.loop)
        self._open.result(DEADLINE_S)

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.close()

    async def _begin(self) -> None:
        await self.listener.open()
        self._running = asyncio.create_task(self.listener.run())

    @contextlib.contextmanager
    def blocked(self) -> Iterator[None]:
        blocked, go_on = threading.Event(), threading.Event()

        def block() -> None:
            blocked.set()
            go_on.wait()

        self.loop.call_soon_threadsafe(block)
        assert blocked.wait(DEADLINE_S)
        try:
            yield
        finally:
            go_on.set()

    async def turns_until(self, greeted: int) -> int:
        """Of the loop, until so many have been accepted."""
        turns = 0
        while Greeter.greeted < greeted:
            turns += 1
            await asyncio.sleep(0)
        return turns

    def answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), DEADLINE_S) as caller:
                return caller.recv(100) == b"connect\n\n"
        except OSError:
            return False

    def refuses(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), DEADLINE_S).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            return False  # its handshake met the moment in which the port closed: let go, and the next is refused
        return False

    def close(self) -> None:
        async def end() -> None:
            self.listener.close()
            assert self._running is not None
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(DEADLINE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)


# A bridge runs in the first; the second is the tests' own.
LOOPS = [
    pytest.param(uvloop.new_event_loop, id="uvloop"),
    pytest.param(asyncio.new_event_loop, id="asyncio", marks=pytest.mark.slow),
]


@pytest.fixture(params=LOOPS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    made = Served(request.param)
    yield made
    made.close()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.01)


def test_while_the_loop_is_blocked_callers_are_refused_and_afterwards_they_are_served(served: Served) -> None:
    assert served.answers()
    for _ in range(2):
        with served.blocked():
            until(served.refuses, "refused")
            assert served.refuses(), "and stays so"
        until(served.answers, "served again")


def test_all_who_came_while_the_loop_was_busy_are_taken_in_a_few_turns_of_it() -> None:
    """A loop in which hundreds of calls move takes tenths of a second for a turn; the dialplan waits five seconds in all."""
    served = Served(uvloop.new_event_loop)
    callers: list[socket.socket] = []
    wanted = Greeter.greeted + BURST
    with served.blocked():
        callers += [socket.create_connection((served.host, served.port), DEADLINE_S) for _ in range(BURST)]
        turns = asyncio.run_coroutine_threadsafe(served.turns_until(wanted), served.loop)
    assert turns.result(DEADLINE_S) <= BURST // 10
    for caller in callers:
        caller.close()
    served.close()


def test_who_waits_in_the_queue_of_a_blocked_loop_is_let_go(served: Served) -> None:
    with served.blocked(), socket.create_connection((served.host, served.port), DEADLINE_S) as early:
        early.settimeout(DEADLINE_S)
        with contextlib.suppress(ConnectionResetError):
            assert early.recv(100) == b""
    until(served.answers, "served again")


def test_who_is_being_served_is_not_touched(served: Served) -> None:
    with socket.create_connection((served.host, served.port), DEADLINE_S) as caller:
        caller.settimeout(DEADLINE_S)
        assert caller.recv(100) == b"connect\n\n"
        with served.blocked():
            until(served.refuses, "refused")
        until(served.answers, "served again")
        caller.setblocking(False)
        with pytest.raises(BlockingIOError):
            caller.recv(100)


def test_what_was_closed_on_purpose_is_not_opened_again_by_a_stall(served: Served) -> None:
    with served.blocked():
        until(served.refuses, "refused")
        served.loop.call_soon_threadsafe(served.listener.close)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.3), served.loop).result(DEADLINE_S)
    assert served.refuses()


def test_a_port_that_is_taken_is_told_and_leaves_nothing_open() -> None:
    async def try_to_open(port: int) -> None:
        await Listener(Greeter, "127.0.0.1", port).open()

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        asyncio.run(try_to_open(other.getsockname()[1]))


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_every_address_of_a_name_is_listened_on() -> None:
    port = free_port()

    async def both() -> None:
        listener = Listener(Greeter, "", port)
        await listener.open()
        for host in ("127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.readuntil(b"\n\n") == b"connect\n\n"
            writer.close()
            await writer.wait_closed()
        listener.close()

    asyncio.run(both())
