"""A switch with one caller who presses keys, as far as a test of actions needs it: it keeps what bridges set on the channel.

Owns the channel's variables and what was played. What it plays is over at once. It offers the call to one bridge after
another, as the dialplan's chain does.
"""

from __future__ import annotations

import asyncio
import contextlib
import re

from tests.esl_bridge.test_bridge import UUID, channel_data, commands_in

OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"


class ScriptedSwitch:
    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.played: list[str] = []
        # Called with each command before it is answered or obeyed; False withholds the answer and the effect.
        self.obeys = lambda command: True
        self.withheld: list[bytes] = []
        # This file does not come to its end.
        self.stays_in = ""
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def offer(self, port: int) -> None:
        """The call comes to the bridge that listens there, with what the one before left on it."""
        if self._reading is not None:
            await self.lose()
        self.variables["ll_holder"] = "chain"
        reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._reading = asyncio.create_task(self._serve(reader, self._writer))

    async def lose(self) -> None:
        """The bridge's socket has closed, or is closed here."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        self._reading = self._writer = None

    def press(self, keys: str) -> None:
        assert self._writer is not None
        for key in keys:
            self._writer.write(self._event("DTMF", f"DTMF-Digit: {key}\n"))

    async def until_played(self, file: str, *, after: int = 0) -> int:
        """The place of ``file`` among what was played, from ``after`` on."""
        async with asyncio.timeout(15):
            while file not in self.played[after:]:
                await asyncio.sleep(0.005)
        return self.played.index(file, after)

    def hang_up(self) -> None:
        """The caller does."""
        assert self._writer is not None
        self._writer.write(self._event("CHANNEL_HANGUP_COMPLETE", "Hangup-Cause: NORMAL_CLEARING\n"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = b""
        while True:
            piece = await reader.read(65536)
            if not piece:
                return
            sent += piece
            for command in commands_in(sent):
                sent = sent[len(command) :]
                if self.obeys(command):
                    self._obey(command, writer)
                else:
                    self.withheld.append(command)

    def release(self) -> None:
        """What was withheld is obeyed after all."""
        assert self._writer is not None
        for command in self.withheld:
            self._obey(command, self._writer)
        self.withheld.clear()

    def refuse(self) -> None:
        """What was withheld is answered with an error, and nothing of it is kept."""
        assert self._writer is not None
        for _ in self.withheld:
            body = "-ERR No such channel!\n"
            self._writer.write(f"Content-Type: api/response\nContent-Length: {len(body)}\n\n{body}".encode())
        self.withheld.clear()

    def _obey(self, command: bytes, writer: asyncio.StreamWriter) -> None:
        if command.startswith(b"connect"):
            kept = "".join(f"variable_{name}: {value}\n" for name, value in self.variables.items() if value)
            head = channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200")
            writer.write(head[:-1] + kept.encode() + b"\n")
        elif command.startswith(b"api "):
            writer.write(self._api(command.decode().strip()))
        else:
            writer.write(OK)
        if b"execute-app-name: playback" in command:
            self._play(command.decode(), writer)

    def _api(self, command: str) -> bytes:
        if found := re.fullmatch(r"api uuid_setvar_multi \S+ (.*)", command):
            self.variables |= dict(pair.split("=", 1) for pair in found[1].split(";"))
        body = "+OK Added: 4\n" if "sched_api" in command else "+OK\n"
        if found := re.fullmatch(r"api uuid_getvar \S+ (\S+)", command):
            body = self.variables.get(found[1], "_undef_")
        return f"Content-Type: api/response\nContent-Length: {len(body)}\n\n{body}".encode()

    def _play(self, command: str, writer: asyncio.StreamWriter) -> None:
        play_id, file = re.search(r"Event-UUID: (\S+)", command), command.strip().splitlines()[-1]
        assert play_id is not None
        self.played.append(file.rpartition("/")[2])
        writer.write(self._event("PLAYBACK_START", f"Playback-File-Path: {file}\n"))
        if self.played[-1] == self.stays_in:
            return
        ended = f"Application: playback\nApplication-UUID: {play_id[1]}\nApplication-Response: FILE PLAYED\n"
        writer.write(self._event("CHANNEL_EXECUTE_COMPLETE", ended))

    def _event(self, name: str, more: str) -> bytes:
        holder = self.variables.get("ll_holder", "chain")
        body = f"Event-Name: {name}\nUnique-ID: {UUID}\nvariable_ll_holder: {holder}\nAnswer-State: answered\n{more}\n"
        return f"Content-Length: {len(body)}\nContent-Type: text/event-plain\n\n{body}".encode()
