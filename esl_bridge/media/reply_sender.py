"""One call's replies on their way to its switch: in their order, bounded, and no other call's wait for them.

Owns the sending on one stream, and its end when the switch does not read. Which replies come for which call is the gateway's.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque

import msgspec
import structlog
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from ai_engine.messages import SpeakReply
from esl_bridge.media.call_audio import CallAudio
from esl_bridge.media.loudness import no_louder_than_prompts

log = structlog.get_logger(__name__)

# Bridges give up on a reply's file after 0.8 s: what takes longer is heard by nobody, nor is what comes behind it.
SEND_S = 1.0
# After a stall of ours timers are heard before what the switch has read meanwhile.
WRITE_FIRST_S = 0.1
# A reply's sentences come as they are written, a few in a turn; more waiting than this is of turns that are over.
MAX_REPLIES = 16


class ReplySender:
    """``run`` is the only one who writes replies to ``connection``; ``put`` never waits."""

    def __init__(self, connection: Connection, call_uuid: str, audio: CallAudio) -> None:
        self._connection = connection
        self._call_uuid = call_uuid
        self._audio = audio
        self._waiting: deque[SpeakReply] = deque(maxlen=MAX_REPLIES)
        self._wake = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None

    def put(self, reply: SpeakReply) -> None:
        self._waiting.append(reply)
        self._wake.set()

    async def run(self) -> None:
        """Until a reply meets a closed connection, or it is cancelled."""
        try:
            while True:
                while not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                reply = self._waiting.popleft()
                if reply.turn == self._audio.last_turn:
                    await self._send(reply)
        except ConnectionClosed as error:
            log.warning("a reply could not be handed to the switch", call=self._call_uuid, error=repr(error))

    async def _send(self, reply: SpeakReply) -> None:
        audio = base64.b64encode(no_louder_than_prompts(reply.pcm)).decode()
        data = {"audioDataType": "raw", "sampleRate": 8000, "audioData": audio}
        text = msgspec.json.encode({"type": "streamAudio", "data": data}).decode()
        self._late = asyncio.get_running_loop().call_later(SEND_S, self._is_late)
        try:
            await self._connection.send(text)
        finally:
            self._late.cancel()

    def _is_late(self) -> None:
        self._late = asyncio.get_running_loop().call_later(WRITE_FIRST_S, self._give_up)

    def _give_up(self) -> None:
        """No good-bye, which would wait behind the reply. The bridge is told that the stream is closed."""
        log.warning("a media connection was closed", call=self._call_uuid, why="the switch does not read its replies")
        self._connection.transport.abort()
