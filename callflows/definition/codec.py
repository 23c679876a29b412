"""One version of a flow as JSON text, as a database row keeps it. The snapshot of all of them is in ``flow.py``."""

from __future__ import annotations

import msgspec

from callflows.definition.errors import UNREADABLE, BadSnapshot
from callflows.definition.flow import FlowVersion


def encode_version(version: FlowVersion) -> str:
    return msgspec.json.encode(version).decode()


def decode_version(text: str) -> FlowVersion:
    """Raises :class:`BadSnapshot` with the place of the first fault."""
    try:
        return msgspec.json.decode(text, type=FlowVersion)
    except UNREADABLE as error:
        raise BadSnapshot(str(error)) from error
