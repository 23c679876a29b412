"""Engines over real sockets whose understanding takes 400 ms each time; hearing and speaking take nothing.

Run as ``python -m bench.ai.fixed_engine``: says its three addresses as one JSON line and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys

from starlette.requests import Request
from starlette.responses import Response

from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk

FIXED_S = 0.4


class FixedEngine(FakeOpenAI):
    async def _chat(self, request: Request) -> Response:
        await asyncio.sleep(FIXED_S)
        self.requests.clear()
        return await super()._chat(request)


async def main() -> None:
    async with FakeVosk().running() as stt, FixedEngine().running() as nlu, FakeOpenAI().running() as tts:
        sys.stdout.write(json.dumps({"stt": stt.url, "nlu": nlu.url, "tts": tts.url}) + "\n")
        sys.stdout.flush()
        while True:
            await asyncio.sleep(1)
            stt.heard.clear()


if __name__ == "__main__":
    asyncio.run(main())
