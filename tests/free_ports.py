"""Ports for servers that are started a moment later, or closed and opened again.

Below those that the kernel gives to outgoing connections (32768 and up): one of these would be taken meanwhile by any of the
connections that a test opens.
"""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000


def free_port() -> int:
    """Nobody listens there now. Raises OSError when no port is to be had."""
    for _ in range(100):
        port = random.SystemRandom().randrange(LOWEST, HIGHEST)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise OSError("no free port")
