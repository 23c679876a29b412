"""mod_audio_stream: one call's WebSocket, the caller's audio out, replies' audio in.

Owns the connection's life and what travels on it. Playing a reply is the app's business: it gets a file's name.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from simulator.media import FRAME_S

if TYPE_CHECKING:
    from simulator.session import Session

log = structlog.get_logger(__name__)
_OPEN_TIMEOUT_S: Final = 10.0  # the module's own connect time-out
_END_WITH_CALL_S: Final = 0.1
_CLOSE_TIMEOUT_S: Final = 2.0
_FRAME_MS: Final = 20
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024  # twelve minutes of speech in base64
_MAX_BEHIND_FRAMES: Final = 50  # a stalled loop drops older audio rather than sending seconds at once
_SUFFIXES: Final = {8000: ".r8", 16000: ".r16", 24000: ".r24", 32000: ".r32", 48000: ".r48"}


class AudioStream:
    """Started by ``uuid_audio_stream start``; ends by ``stop``, by the peer, or with the call."""

    def __init__(self, session: Session, url: str, metadata: str) -> None:
        self._session = session
        self._switch = session.switch
        self._url, self._metadata = url, metadata
        self._paused = False
        self._texts: deque[str] = deque()
        self._stopping = asyncio.Event()
        # A call's first stream begins with the metadata; in a later one its audio flows already, and a frame overtakes it.
        self._is_first = session.streams_started == 0
        session.streams_started += 1
        self._task = self._switch.spawn(self._run())

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    def pause(self, *, paused: bool) -> None:
        self._paused = paused

    def send_text(self, text: str) -> None:
        self._texts.append(text)

    def stop(self, text: str = "") -> None:
        if text:
            self._texts.append(text)
        self._stopping.set()
        self._switch.spawn(self._end_soon())

    async def end_with_call(self) -> None:
        """The call is over; its last events follow when the connection is closed, and do not wait long for that."""
        self._stopping.set()
        await asyncio.wait([self._task], timeout=_END_WITH_CALL_S)

    async def _end_soon(self) -> None:
        """A frozen peer takes no more bytes: the connection is then dropped without its good-bye."""
        done, _ = await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT_S)
        if not done:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                peer = await connect(
                    self._url, compression=None, max_size=_MAX_MESSAGE_BYTES, ping_interval=None, proxy=None,
                    close_timeout=_CLOSE_TIMEOUT_S,
                )  # fmt: skip
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ValueError) as error:
            self._fire("error", {"status": "error", "message": {"code": 6, "error": _words(error)}})
            return
        reading = asyncio.create_task(self._read(peer))
        try:
            if not self._is_first:
                clock = self._switch.clock
                await peer.send(self._session.microphone.frame(int(clock.now_s() / FRAME_S)))
            if self._metadata:
                await peer.send(self._metadata)
            self._fire("connect", {"status": "connected"})
            await self._send_frames(peer)
        except ConnectionClosed:
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await peer.close()
        if not self._stopping.is_set():
            message = {"code": peer.close_code or 1006, "reason": peer.close_reason or ""}
            self._fire("disconnect", {"status": "disconnected", "message": message})

    async def _send_frames(self, peer: ClientConnection) -> None:
        """20 ms of the caller's audio every 20 ms, whatever the switch plays; more at once with STREAM_BUFFER_SIZE."""
        clock = self._switch.clock
        number = int(clock.now_s() / FRAME_S)
        microphone = self._session.microphone
        size_ms = self._session.channel.get("STREAM_BUFFER_SIZE")
        per_message = max(1, int(size_ms) // _FRAME_MS) if size_ms.isdecimal() else 1
        kept: list[bytes] = []
        while not self._stopping.is_set():
            due = int(clock.now_s() / FRAME_S)
            number = max(number, due - _MAX_BEHIND_FRAMES)
            await self._send_texts(peer)
            while number < due:
                if not self._paused and not self._session.channel.leg_holding:
                    kept.append(microphone.frame(number))
                number += 1
                if len(kept) >= per_message:
                    await peer.send(b"".join(kept))
                    kept.clear()
            await clock.sleep((number + 1) * FRAME_S - clock.now_s())
        await self._send_texts(peer)

    async def _send_texts(self, peer: ClientConnection) -> None:
        while self._texts:
            await peer.send(self._texts.popleft())

    async def _read(self, peer: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in peer:
                if isinstance(message, str):
                    await self._obey(message)

    async def _obey(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return  # the module parses JSON and ignores the rest
        data = message.get("data") if isinstance(message, dict) and message.get("type") == "streamAudio" else None
        if not isinstance(data, dict):
            self._fire("json", text)
            return
        rate_hz = data.get("sampleRate", 8000)
        try:
            audio = base64.b64decode(data.get("audioData", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            return
        if data.get("audioDataType") != "raw" or rate_hz not in _SUFFIXES or not audio:
            return
        name = f"{self._session.channel.uuid}_{self._next_file()}.tmp{_SUFFIXES[rate_hz]}"
        path = self._switch.config.temp_dir / name
        self._session.on_over.append(lambda: _remove(path))  # before it is written: the call may end meanwhile
        await asyncio.to_thread(path.write_bytes, audio)
        self._fire("play", {"audioDataType": "raw", "sampleRate": rate_hz, "file": str(path)})

    def _next_file(self) -> int:
        number = self._session.files_received
        self._session.files_received += 1
        return number

    def _fire(self, subclass: str, body: object) -> None:
        text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
        self._switch.fire("CUSTOM", self._session.channel, body=text, subclass=f"mod_audio_stream::{subclass}")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused (system error 111)"
    if isinstance(error, TimeoutError):
        return "Connection timed out (system error 110)"
    return str(error)
