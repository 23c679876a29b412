"""``${system(…)}`` from every outside source, with the real bridge and queue between it and a switch that expands.

Sources: what earlier owners left on the channel (a forged variable among them), the caller's number, and what a worker
reports of a caller's words and a model's. The simulator expands as FreeSWITCH does with api-expansion on, and notes what it
would have run; on a real switch the program would leave a file.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ai_engine.messages import (
    FIELD,
    TURNS_STREAM,
    BridgeMessage,
    MediaConnected,
    SpeechEnded,
    TurnDone,
    TurnFailed,
    TurnRequest,
    TurnTaken,
    decode_request,
    encode,
    results_stream,
)
from ai_engine.redis_clients import connect_async
from esl_bridge.calls.to_switch import SwitchSettings
from tests.conformance.lines import ControlledLine
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.test_bridge import Running

# Every prompt is this short, so that the call soon listens.
PROMPT_S = 0.3
LIMIT_S = 20.0


async def turn_after(redis: Any, position: bytes) -> tuple[bytes, TurnRequest]:
    """The next turn that the bridge asks for."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            for _, entries in await redis.xread({TURNS_STREAM: position}, block=50):
                for entry_id, fields in entries:
                    position = entry_id
                    if not (request := decode_request(fields[FIELD])).call_uuid.startswith("probe"):
                        return position, request


async def test_words_from_outside_run_nothing(
    line: ControlledLine, tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    mark = line.folder / "the-words-ran"
    evil = f"${{system(touch {mark})}}"
    for file in demonstration().files():
        line.sound(file.removesuffix(".wav"), PROMPT_S)
    redis = connect_async(volatile_redis)
    async with line.gateway() as gateway:
        switch = SwitchSettings("lifeline", str(line.folder), gateway.url)
        at = line.host, line.bridge_port
        running = Running(tmp_path, durable_redis, volatile_redis, allow=["0.0.0.0/0"], ai=True, at=at, switch=switch)

        async def tell(message: BridgeMessage) -> None:
            await redis.xadd(results_stream("bridge-1"), {FIELD: encode(message)})

        await running.listening()
        call = await line.arrive("9200")
        await gateway.until(lambda: call in gateway.calls)
        await tell(MediaConnected(call, evil, 1))
        position, turn = await turn_after(redis, b"0")
        await tell(TurnTaken(call, turn.turn, evil, 1.0))
        await tell(SpeechEnded(call, turn.turn, evil))
        await tell(TurnDone(call, turn.turn, evil, "balance", 0.9, {"account": evil, evil: evil}, evil, False, ()))
        # What a forged SIP header, or another program at the switch, might have left: the bridge that takes over reads it.
        for name in ("ll_step", "ll_intent", "ll_slot_account", "ll_incident", "ll_visit", "ll_lang", "ll_dialled"):
            await line.api(f"uuid_setvar {call} {name} {evil}")
        await line.api(f"uuid_transfer {call} 9200 XML lifeline")
        await line.seen_variable(call, "ll_holder", "bridge-1:2")
        await tell(MediaConnected(call, evil, 2))
        _, turn = await turn_after(redis, position)
        await tell(TurnFailed(call, turn.turn, evil, evil, 1, (), evil, evil, {"account": evil}))
        await line.seen_variable(call, "ll_mode", "fallback")
        await line.press(call, "1")
        await line.hang_up(call)
        await line.seen(call, "CHANNEL_HANGUP_COMPLETE")
        assert not line.has_run(f"touch {mark}", mark)
        await running.close()
    await redis.aclose()
