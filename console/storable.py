"""Journal entries as every database takes them: PostgreSQL refuses NUL in text and in JSON, and callers' names may hold one.

Owns the cleaning only. Without it one caller's name would put a whole batch of others' entries aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esl_bridge.journal.events import Entry

NUL = "\0"
# As JSON writes it; a cheap look, which may find one that is none (a backslash before it) and then does no harm.
NUL_IN_JSON = b"\\u0000"


def storable(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The same entries, without NUL in any text. Mostly they are returned as they are."""
    return [_cleaned(entry) if NUL_IN_JSON in msgspec.json.encode(entry) else entry for entry in entries]


def _cleaned(entry: Entry) -> Entry:
    return msgspec.convert(_without_nul(msgspec.to_builtins(entry)), Entry)


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace(NUL, "")
        case dict():
            return {_without_nul(key): _without_nul(one) for key, one in value.items()}
        case list() | tuple():
            return [_without_nul(one) for one in value]
        case _:
            return value
