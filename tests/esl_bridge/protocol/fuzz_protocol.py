"""Fuzzes the protocol, coverage-guided: ``python -m tests.esl_bridge.protocol.fuzz_protocol CORPUS -runs=100000``.

Whatever bytes a peer sends, in whatever pieces, nothing comes out but messages or the protocol's own errors; and every
header, body and input made of them can be read. libFuzzer's own flags apply; the corpus begins as the recordings.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["esl_bridge.protocol", "esl_bridge.calls.from_switch"]):
    from esl_bridge.calls.from_switch import connected, told_by
    from esl_bridge.calls.inputs import AiUse
    from esl_bridge.protocol import commands
    from esl_bridge.protocol.conversation import Conversation, Happened, Replied
    from esl_bridge.protocol.errors import EventSocketError
    from esl_bridge.protocol.messages import Event
    from esl_bridge.protocol.reader import Reader
    from esl_bridge.protocol.recording import NoRecording, decode, decoded, read_sockets

from tests.esl_bridge.recorded import from_freeswitch, sockets

UUID = "67f4668d-b17d-4b43-a9e9-a79e324546cd"


def fuzz_one(data: bytes) -> None:
    """The first byte says how the rest is read: as a recording, or as a conversation in pieces of that size."""
    if not data:
        return
    size, rest = data[0], data[1:]
    try:
        if size == 0xFF:
            for _ in decode(read_sockets(rest.splitlines())):
                pass
            return
        conversation: Conversation[str] = Conversation()
        conversation.send(commands.connect(), "connect")
        for _ in range(40):
            conversation.send(commands.linger(10), "linger")
        pieces = [rest] if size == 0 else [rest[at : at + size * 16] for at in range(0, len(rest), size * 16)]
        for piece in pieces:
            for received in conversation.receive(piece):
                if isinstance(received, Happened):
                    read_whole(received.event)
                elif isinstance(received, Replied):
                    connected(received.message.event(), None, AiUse.USABLE, at=datetime.fromtimestamp(0, UTC))
        for message in Reader().feed(rest):
            decoded(message)
    except (EventSocketError, NoRecording):
        pass


def read_whole(event: Event) -> None:
    for name, value in event.headers.items():
        assert isinstance(value, str)
        assert name.lower() not in event.headers or event.headers.get(name) is not None
    told_by(event, UUID)


def write_corpus(folder: Path) -> None:
    """Small beginnings, so that a mutation reaches every part of a message."""
    for name, socket in sockets():
        for index, part in enumerate(from_freeswitch(name, socket)[:40_000].split(b"\nContent-Length: ")[:6]):
            (folder / f"{name}-{socket}-{index}").write_bytes(b"\x00Content-Length: " + part[:4000])
    (folder / "recording").write_bytes(b'\xff{"from": "freeswitch", "data": "Content-Type: auth/request\\n\\n"}\n')


if __name__ == "__main__":
    if not any(Path(sys.argv[1]).iterdir()):
        write_corpus(Path(sys.argv[1]))
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()
