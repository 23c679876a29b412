"""Deepgram's streaming interface as documented, over a real socket, that can be told to fail in every way."""

from __future__ import annotations

import asyncio
import json

from websockets.asyncio.server import ServerConnection

from tests.ai_engine.fake_server import DELAY_S, DRIP_S, FakeSocketServer


class FakeDeepgram(FakeSocketServer):
    """``fault``: one of FAULTS, or frozen. ``silent`` has empty words for everything, ``empty`` has no results at all.

    ``endpoint_after`` so many chunks it says by itself that the caller has stopped. ``punctuated`` writes sentences.
    ``billed_s``: what it says it heard, None for what it did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transcript = "what are your opening hours"
        self.endpoint_after = 0
        self.punctuated = False
        self.ended_with = ""
        self.billed_s: float | None = None

    async def listen(self, connection: ServerConnection) -> None:
        chunks = 0
        async for message in connection:
            if isinstance(message, str):
                self.ended_with = message
                if self.fault == "hang":
                    continue
                await self._finish(connection)
                return
            chunks += 1
            self.heard += message
            if not await self._interim(connection, chunks):
                return

    async def _interim(self, connection: ServerConnection, chunks: int) -> bool:
        match self.fault:
            case "hang" | "empty":
                return True
            case "reset":
                connection.transport.abort()
                return False
            case "garbage":
                await connection.send("\x00not json")
                return False
            case "wrong_schema":
                await connection.send('{"type": "Results", "channel": {"alternatives": 3}}')
                return False
            case "silent":
                await connection.send(_results(""))
                return True
        if self.endpoint_after and chunks == self.endpoint_after:
            await connection.send(_results(self._said(), final=True, speech_final=True))
        else:
            await connection.send(_results(self._said()[: 5 * chunks]))
        return True

    def _said(self) -> str:
        return self.transcript.capitalize() + "?" if self.punctuated else self.transcript

    async def _finish(self, connection: ServerConnection) -> None:
        if self.fault == "delay":
            await asyncio.sleep(DELAY_S)
        if self.fault == "drip":
            for _ in range(40):
                await connection.send(_results(""))
                await asyncio.sleep(DRIP_S)
        if self.fault != "empty":
            said = "" if self.fault == "silent" or self.endpoint_after else self._said()
            await connection.send(_results(said, final=True, speech_final=bool(said)))
        seconds = len(self.heard) / 16_000 if self.billed_s is None else self.billed_s
        await connection.send(json.dumps({"type": "Metadata", "request_id": "x", "duration": seconds, "channels": 1}))
        await connection.close()


def _results(transcript: str, *, final: bool = False, speech_final: bool = False) -> str:
    words = [{"word": word, "start": 0.1, "end": 0.3, "confidence": 0.99} for word in transcript.split()]
    return json.dumps(
        {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": 1.0,
            "start": 0.0,
            "is_final": final,
            "speech_final": speech_final,
            "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.99, "words": words}]},
            "metadata": {"request_id": "x"},
        }
    )
