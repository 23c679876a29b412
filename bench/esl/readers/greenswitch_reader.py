"""greenswitch, as its documentation shows: ``InboundESL`` and a handler. Runs in the bench's own environment."""

import sys
import time

import gevent.event
import greenswitch

port, count, _, variable = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
done = gevent.event.Event()
left = count


def on_event(event):
    global left
    assert event.headers["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE"
    assert event.headers["Application-UUID"]
    assert event.headers["variable_" + variable] == "4711"
    left -= 1
    if not left:
        done.set()


client = greenswitch.InboundESL(host="127.0.0.1", port=port, password=str(count))
client.connect()
client.register_handle("CHANNEL_EXECUTE_COMPLETE", on_event)
began_s = time.process_time()
client.send("events plain CHANNEL_EXECUTE_COMPLETE")
done.wait()
sys.stdout.write(f"{time.process_time() - began_s}\n")
