"""``manage.py esl_decode FILE``: what FreeSWITCH said in a recorded conversation, one JSON object a message."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from esl_bridge.protocol.errors import EventSocketError
from esl_bridge.protocol.recording import Leftover, NoRecording, decode, read_sockets


class Command(BaseCommand):
    help = (
        "Print a recorded Event Socket conversation (JSON lines: t, from, data, socket), socket 1 first, as one JSON object "
        "for each message from FreeSWITCH: content_type, event_name, headers (decoded), body."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the recording; - reads from standard input")

    def handle(self, *args: object, **options: str) -> None:
        name = options["file"]
        try:
            data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror}") from error
        try:
            for found in decode(read_sockets(data.splitlines())):
                if isinstance(found, Leftover):
                    self.stderr.write(f"socket {found.socket} ends with {found.size} bytes that are no whole message")
                else:
                    self.stdout.write(msgspec.json.encode(found).decode())
        except (NoRecording, EventSocketError) as error:
            raise CommandError(f"{name}: {error}") from error
