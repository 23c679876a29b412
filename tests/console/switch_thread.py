"""A simulated switch in a thread of its own, for tests that ask it as the console does: blocking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulator.config import AgentsConfig, SwitchConfig
from simulator.switch import Switch

PASSWORD = "ClueCon"
# 9200 parks: whoever calls stays on the line. Calls to port 5099 are refused.
DIALPLAN = (
    '<include><context name="lifeline"><extension name="wait"><condition field="destination_number" expression="^9200$">'
    '<action application="answer"/><action application="park"/></condition></extension></context></include>'
)
START_LIMIT_S = 10.0


@contextmanager
def running_switch(folder: Path, text: str = DIALPLAN, **config: Any) -> Iterator[Switch]:
    dialplan = folder / "dialplan.xml"
    dialplan.write_text(text)
    agents = AgentsConfig(ring_s=(0.0, 0.0))
    loop = asyncio.new_event_loop()
    switch = Switch(SwitchConfig(dialplan=dialplan, inbound_port=0, password=PASSWORD, agents=agents, **config))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(switch.start(), loop).result(START_LIMIT_S)
        yield switch
    finally:
        asyncio.run_coroutine_threadsafe(switch.stop(), loop).result(START_LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_LIMIT_S)
        loop.close()
