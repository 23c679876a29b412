"""Which bridges the chain shall ask for a call when this one has lost it. Pure.

Owns the order. A bridge that froze accepts a connection like any other, so whoever had the call is asked last; and the calls of one
that dies are shared out among the others, not given to one of them all at once.
"""

from __future__ import annotations

import zlib

from callflows.definition.kept import BRIDGES_BYTES, kept_bytes
from esl_bridge.protocol.commands import safe_addresses

NEXT_VARIABLE = "bridges"


def ask_next(socket_data: str, own_address: str, call_uuid: str) -> str:
    """``HOST:PORT|HOST:PORT…``, for `ll_bridges`. ``socket_data`` is what the dialplan gave to `socket`, ``own_address`` where this
    bridge was reached. The dialplan's address of nobody, with a path, is no bridge's.

    Nothing, when that is not one of the addresses there (a proxy lies between), or the only one, or when one of them is none that a
    variable can hold: the dialplan's own lists do then. Of very many, those that fit.
    """
    named = socket_data.partition(" ")[0].split("|")
    addresses = list(dict.fromkeys(address for address in named if "/" not in address))
    if own_address not in addresses or len(addresses) == 1:
        return ""
    at = addresses.index(own_address)
    others = addresses[at + 1 :] + addresses[:at]
    first = zlib.crc32(call_uuid.encode()) % len(others)
    order = [*others[first:], *others[:first], own_address]
    while order and kept_bytes(NEXT_VARIABLE, "|".join(order)) > BRIDGES_BYTES:
        order.pop()
    wanted = "|".join(order)
    return wanted if safe_addresses(wanted) else ""
