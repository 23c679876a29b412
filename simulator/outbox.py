"""What one Event Socket connection is to be sent, in one write for each turn of the loop.

Owns the bytes until they are the transport's, and what becomes of a peer that does not read. Knows nothing of their meaning.
"""

from __future__ import annotations

import asyncio
from typing import Final

# FreeSWITCH drops a deaf listener's events at 100,000 queued; at 6 KB an event that would be 600 MB here.
MAX_UNSENT_BYTES: Final = 16 * 1024 * 1024


class Outbox:
    """A write of its own for each reply to a dozen commands would cost more than the commands do."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.dropped_events = 0
        self._writer = writer
        self._unsent: list[bytes] = []

    def is_closing(self) -> bool:
        return self._writer.is_closing()

    def put(self, data: bytes) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(data)

    def put_event(self, data: bytes) -> None:
        """Dropped when the peer has not taken what it was sent before."""
        transport = self._writer.transport
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.dropped_events += 1
        else:
            self.put(data)

    def close(self) -> None:
        """What was put is sent first."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._unsent and not self._writer.is_closing():
            self._writer.write(b"".join(self._unsent))
        self._unsent.clear()
