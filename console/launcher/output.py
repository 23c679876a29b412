"""One terminal for the output of many processes: prefixed and coloured by honcho's printer, never waited for.

Owns a thread, because a terminal that stands still (Ctrl-S, a full pipe) must not stop the launcher from draining its
processes' pipes: a bridge that blocks on a log line would hold its calls. Lines beyond a bound are dropped and counted.
"""

from __future__ import annotations

import asyncio
import queue
import select
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

# A process that is stuck in a loop of errors can fill this in a moment; about 2 MB at 200 bytes a line.
LINES_MOST = 10_000
# Longer lines are cut into several, so that a process that never ends its line cannot fill the memory.
LINE_BYTES_MOST = 16 * 1024
READER_CHECK_S = 1.0
GONE = select.POLLHUP | select.POLLERR
LAUNCHER = "lifeline"


class Output:
    """``gone`` is called once, from the thread, when nobody reads any more (the terminal was closed)."""

    def __init__(self, stream: TextIO, names: list[str], gone: Callable[[], None] | None = None) -> None:
        self._printer = Printer(output=stream, width=max(map(len, [LAUNCHER, *names])))
        self._stream = stream
        colours = get_colours()
        self._colours = {name: next(colours) for name in names}
        self._lines: queue.Queue[Message | str | None] = queue.Queue(LINES_MOST)
        self._dropped = 0
        self._gone = gone
        self._poll = _poll_for(stream)
        self._thread = threading.Thread(target=self._print, name="output", daemon=True)
        self._thread.start()

    def line(self, name: str, data: bytes | str) -> None:
        self._put(Message("line", data, datetime.now().astimezone(), name, self._colours.get(name)))

    def say(self, text: str) -> None:
        """The launcher's own word."""
        self.line(LAUNCHER, text)

    def bare(self, text: str) -> None:
        """A line without a prefix, for the programs that look for it."""
        self._put(text)

    def close(self, timeout_s: float = 2.0) -> None:
        """Prints what is waiting. A terminal that stands still keeps the end waiting for ``timeout_s`` at most."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _put(self, item: Message | str) -> None:
        try:
            self._lines.put_nowait(item)
        except queue.Full:
            self._dropped += 1

    def _print(self) -> None:
        while (item := self._next()) is not None:
            try:
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._stream.write(f"({dropped} lines were not shown: the output stood still)\n")
                if isinstance(item, str):
                    self._stream.write(item + "\n")
                    self._stream.flush()
                else:
                    self._printer.write(item)
            except (OSError, ValueError):
                self._report_gone()

    def _next(self) -> Message | str | None:
        """The next line. In a silence it looks whether anybody still reads: a closed terminal sends its signal to the
        session's first process only, which may be a make that keeps it to itself."""
        while True:
            try:
                return self._lines.get(timeout=READER_CHECK_S)
            except queue.Empty:
                if self._poll is not None and any(event & GONE for _, event in self._poll.poll(0)):
                    self._report_gone()

    def _report_gone(self) -> None:
        if self._gone is not None:
            self._gone()
            self._gone = None


def _poll_for(stream: TextIO) -> select.poll | None:
    """Reports that the reader of a terminal or a pipe is gone. A file has none, and a stream in memory no number."""
    try:
        number = stream.fileno()
    except OSError:
        return None
    poll = select.poll()
    poll.register(number, 0)
    return poll


class LineReader(asyncio.Protocol):
    """Reads one process's pipe and hands its lines on, whole."""

    def __init__(self, handle: Callable[[bytes], None]) -> None:
        self._handle = handle
        self._rest = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._handle(line)
        if len(self._rest) > LINE_BYTES_MOST:
            self._handle(self._rest)
            self._rest = b""

    def connection_lost(self, error: Exception | None) -> None:
        if self._rest:
            self._handle(self._rest)
            self._rest = b""
        self.ended.set()
