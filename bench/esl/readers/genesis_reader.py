"""Genesis, as its documentation shows: a ``Consumer`` with a handler, on uvloop. Runs in the bench's own environment."""

import asyncio
import os
import sys
import time

import uvloop
from genesis import Consumer

port, count, _, variable = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
app = Consumer("127.0.0.1", port, str(count))
left = count
began_s = 0.0


@app.handle("CHANNEL_EXECUTE_COMPLETE")
async def on_event(event):
    global left, began_s
    # It subscribes inside start(): the first event is where its reading begins, which is in its favour.
    began_s = began_s or time.process_time()
    assert event["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE"
    assert event["Application-UUID"]
    assert event["variable_" + variable] == "4711"
    left -= 1
    if not left:
        sys.stdout.write(f"{time.process_time() - began_s}\n")
        sys.stdout.flush()
        os._exit(0)


uvloop.install()
asyncio.run(app.start())
