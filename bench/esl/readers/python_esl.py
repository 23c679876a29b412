"""python-ESL, as its documentation shows: connect, subscribe, ``recvEvent``. ``lazy`` reads three headers, ``full`` all."""

import sys
import time

import ESL

port, count, how, variable = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
connection = ESL.ESLconnection("127.0.0.1", str(port), str(count))
assert connection.connected()
began_s = time.process_time()
connection.events("plain", "CHANNEL_EXECUTE_COMPLETE")
left = count
while left:
    event = connection.recvEvent()
    if event.getHeader("Event-Name") != "CHANNEL_EXECUTE_COMPLETE":
        continue
    if how == "full":
        headers = {}
        name = event.firstHeader()
        while name:
            headers[name] = event.getHeader(name)
            name = event.nextHeader()
        assert headers["variable_" + variable] == "4711"
    else:
        assert event.getHeader("Application-UUID")
        assert event.getHeader("variable_" + variable) == "4711"
    left -= 1
sys.stdout.write(f"{time.process_time() - began_s}\n")
