"""Questions to the switch through python-ESL, asked by a process of its own: ``python -I control_process.py``.

Owns the only use of python-ESL. Reads ``{"host", "port", "password", "commands"}`` from standard input (a password in
the arguments would be in the list of processes) and writes ``{"replies"}``, one for each, or ``{"failed", "text"}``. It
imports nothing else of ours, so that it starts in about 30 ms. Whoever starts it kills it at the deadline: python-ESL has none.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

# Only to find out why python-ESL could not connect, which it does not say; the deadline of the whole is the parent's.
DIAGNOSIS_LIMIT_S = 2.0
# FreeSWITCH reads one command after the other and answers in that order (mod_event_socket.c, read_packet), so that many questions
# need not wait for many ways there and back. So few that neither side's buffer fills while the other one writes.
UNANSWERED_MOST = 50


def ask(host: str, port: int, password: str, commands: list[str]) -> dict[str, Any]:
    try:
        import ESL
    except ImportError:
        return {"failed": "unavailable", "text": ""}
    connection = ESL.ESLconnection(host, str(port), password)
    if not connection.connected():
        del connection  # closes its socket
        return diagnose(host, port, password)
    replies: list[str] = []
    sent = 0
    while len(replies) < len(commands):
        for command in commands[sent : len(replies) + UNANSWERED_MOST]:
            connection.send(f"api {command}")
            sent += 1
        event = connection.recvEvent()  # Gone with the next one.
        body = event.getBody() if event.getHeader("Content-Type") == "api/response" else None
        if body is None:
            return {"failed": "no answer", "text": ""}
        replies.append(body)
    connection.disconnect()
    return {"replies": replies}


def diagnose(host: str, port: int, password: str) -> dict[str, Any]:
    """A second connection, after a failure only. (One that the switch's access list rejects costs FreeSWITCH a few
    bytes for good, which is why no plain connection is tried before the real one.)"""
    try:
        with socket.create_connection((host, port), DIAGNOSIS_LIMIT_S) as probe:
            greeting = _read_headers(probe)
            if b"rude-rejection" in greeting:
                return {"failed": "access", "text": ""}
            if b"auth/request" not in greeting:
                return {"failed": "away", "text": "what listens there is no FreeSWITCH"}
            probe.sendall(f"auth {password}\n\n".encode())
            if b"-ERR" in _read_headers(probe):
                return {"failed": "password", "text": ""}
    except OSError as error:
        return {"failed": "away", "text": error.strerror or "it does not answer"}
    return {"failed": "away", "text": "it dropped a first connection and took a second one"}


def _read_headers(probe: socket.socket) -> bytes:
    data = b""
    while b"\n\n" not in data and len(data) < 4096 and (more := probe.recv(4096)):
        data += more
    return data


if __name__ == "__main__":
    request = json.load(sys.stdin)
    # In the middle of an upgrade a process of the version before starts this file: it asks one "command" and reads one "reply".
    commands = request["commands"] if "commands" in request else [request["command"]]
    answer = ask(request["host"], request["port"], request["password"], commands)
    if "command" in request and "replies" in answer:
        answer["reply"] = answer["replies"][0]
    sys.stdout.write(json.dumps(answer))
