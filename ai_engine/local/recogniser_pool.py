"""Recognition for many callers at once: a few processes, because two decoding threads are no faster than one.

Owns the processes' life (a dead one is replaced), which stream is where, and the answers on their way back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import threading
import time
from multiprocessing.connection import Connection

import msgspec
import structlog

from ai_engine.local import recogniser_process as process
from ai_engine.local.grammar import Grammar
from ai_engine.messages import INTENT

log = structlog.get_logger(__name__)

PROCESSES = 2
# Far above what a decoder needs for the longest message (half a second of audio), even with eight of them at work.
ANSWER_S = 5.0
# Loading the models on a machine that is six times as busy as it has cores; after that something is wrong.
READY_S = 60.0
# A process that dies at once must not be restarted in a busy loop.
RESTART_S = 0.5
# A stream has at most one message under way, so eight streams' fit into the pipe's buffer: sending never blocks.
MAX_CHUNK_BYTES = 16 * 1024

_context = multiprocessing.get_context("spawn")
_answers = msgspec.msgpack.Decoder(process.FromProcess)


class RecogniserDiedError(Exception):
    """The process that heard this stream is gone, or does not answer; another stream may be opened."""


class Stream:
    """One caller's audio. One call at a time."""

    def __init__(self, member: _Member, number: int) -> None:
        self._member = member
        self._number = number

    async def hear(self, pcm: bytes) -> str:
        """The words so far."""
        answer = await self._member.ask(self._number, process.Audio(self._number, pcm))
        return answer.text if isinstance(answer, process.Partial) else ""

    async def finish(self, expect: str = INTENT) -> tuple[str, list[tuple[str, float]]]:
        """The words, and each with its confidence. ``expect`` is ``intent``, or what else the caller was asked for."""
        answer = await self._member.ask(self._number, process.Finish(self._number, expect, time.monotonic()))
        if not isinstance(answer, process.Final):
            raise RecogniserDiedError
        return answer.text, answer.words

    def close(self) -> None:
        """Gives the decoder back; twice does nothing."""
        self._member.close_stream(self._number)


class _Member:
    """One process. A thread reads its pipe and hands every answer to the loop."""

    def __init__(self, grammar: Grammar) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=process.serve, args=(theirs, os.getpid(), grammar), daemon=True)
        # From this thread, which lives as long as the program: the kernel ends the child with the thread that made it.
        self._process.start()
        theirs.close()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.dead = asyncio.Event()
        self.streams: set[int] = set()
        self._asked: dict[int, asyncio.Future[process.FromProcess]] = {}
        self._reader = threading.Thread(target=self._read, args=(self._pipe,), name="recogniser-pipe", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        return self.ready.done() and not self.ready.cancelled() and not self.dead.is_set()

    async def ask(self, stream: int, message: process.ToProcess) -> process.FromProcess:
        if self.dead.is_set():
            raise RecogniserDiedError
        future: asyncio.Future[process.FromProcess] = self._loop.create_future()
        self._asked[stream] = future
        try:
            self.tell(message)
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError:
            raise RecogniserDiedError from None
        finally:
            self._asked.pop(stream, None)

    def tell(self, message: process.ToProcess) -> None:
        try:
            self._pipe.send_bytes(msgspec.msgpack.encode(message))
        except OSError as error:
            raise RecogniserDiedError from error

    def close_stream(self, stream: int) -> None:
        if stream in self.streams:
            self.streams.discard(stream)
            with contextlib.suppress(RecogniserDiedError):
                self.tell(process.Close(stream))

    async def stop(self) -> None:
        self._pipe.close()
        self._process.kill()
        await asyncio.to_thread(self._process.join, 2.0)
        await asyncio.to_thread(self._reader.join, 2.0)

    def _read(self, pipe: Connection) -> None:
        while True:
            try:
                answer = _answers.decode(pipe.recv_bytes())
            except (EOFError, OSError, TypeError):  # TypeError: the pipe was closed under the waiting read
                break
            self._call(self._take, answer)
        self._call(self._died)

    def _call(self, function: object, *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]

    def _take(self, answer: process.FromProcess) -> None:
        if isinstance(answer, process.Ready):
            if not self.ready.done():
                self.ready.set_result(None)
            return
        future = self._asked.get(answer.stream)
        if future is not None and not future.done():
            future.set_result(answer)

    def _died(self) -> None:
        self.dead.set()
        self.ready.cancel()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(RecogniserDiedError())


class RecogniserPool:
    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._members: list[_Member] = []
        self._numbers = itertools.count(1)
        self._started = asyncio.Event()

    @property
    def pids(self) -> list[int]:
        return [member.pid for member in self._members if member.pid is not None and member.is_ready]

    async def started(self) -> None:
        """Every process has warm decoders."""
        await self._started.wait()

    async def run(self) -> None:
        """Until cancelled; then every process is gone."""
        try:
            self._members = [_Member(self._grammar) for _ in range(PROCESSES)]
            async with asyncio.timeout(READY_S):
                await asyncio.gather(*(member.ready for member in self._members))
            self._started.set()
            await asyncio.gather(*(self._keep(index) for index in range(PROCESSES)))
        finally:
            members, self._members = self._members, []
            await asyncio.gather(*(member.stop() for member in members))

    async def _keep(self, index: int) -> None:
        while True:
            await self._members[index].dead.wait()
            log.error("recogniser_died", index=index)
            await self._members[index].stop()
            await asyncio.sleep(RESTART_S)
            self._members[index] = _Member(self._grammar)

    def use_grammar(self, grammar: Grammar) -> None:
        """For streams opened from now on."""
        if grammar == self._grammar:
            return
        self._grammar = grammar
        for member in self._members:
            with contextlib.suppress(RecogniserDiedError):
                member.tell(process.NewGrammar(grammar))

    async def open(self) -> Stream | None:
        """None when every decoder is taken."""
        alive = [one for one in self._members if one.is_ready]
        for member in sorted(alive, key=lambda one: len(one.streams)):
            if len(member.streams) >= process.MAX_DECODERS:
                continue
            number = next(self._numbers)
            member.streams.add(number)
            accepted = False
            try:
                answer = await member.ask(number, process.Open(number))
                accepted = isinstance(answer, process.Opened) and answer.accepted
            except RecogniserDiedError:
                continue
            finally:
                if not accepted:
                    member.close_stream(number)
            if accepted:
                return Stream(member, number)
        return None
