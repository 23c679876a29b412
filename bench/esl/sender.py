"""A switch that only sends: any number of one recorded event to whoever logs in, as fast as the kernel takes them.

The password says how many, so that each library can log in as its documentation shows. Run as a process of its own.
"""

from __future__ import annotations

import os
import socket
import sys

from bench.esl.recorded import execute_complete

REPLY = b"Content-Type: command/reply\nReply-Text: %b\n\n"
AT_ONCE = 40


def serve(listener: socket.socket, core: int) -> None:
    os.sched_setaffinity(0, {core})
    event = execute_complete()
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                _talk(connection, event)
            except OSError:
                continue


def _talk(connection: socket.socket, event: bytes) -> None:
    connection.sendall(b"Content-Type: auth/request\n\n")
    waiting, count = b"", 0
    while data := connection.recv(65536):
        waiting += data
        while b"\n\n" in waiting:
            command, _, waiting = waiting.partition(b"\n\n")
            words = command.split()
            if words[:1] == [b"auth"]:
                count = int(words[1])
                connection.sendall(REPLY % b"+OK accepted")
                continue
            connection.sendall(REPLY % b"+OK event listener enabled plain")
            if words[:1] in ([b"event"], [b"events"]) and count:
                sent, count = count, 0
                while sent > 0:
                    connection.sendall(event * min(AT_ONCE, sent))
                    sent -= AT_ONCE


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as server:
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        serve(server, int(sys.argv[1]))
