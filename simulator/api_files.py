"""The API commands about the switch's configuration and its disk, as text in and text out. Owns their answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import DialplanError

if TYPE_CHECKING:
    from simulator.switch import Switch


async def reload_xml(switch: Switch, _argument: str) -> str:
    try:
        switch.reload_dialplan()
    except DialplanError as error:
        return f"+OK [[{error}]]\n"  # A real one says +OK to a broken file, too, and keeps the old.
    return "+OK [Success]\n"


async def xml_locate(switch: Switch, argument: str) -> str:
    """Dialplan contexts alone; a real one finds any section's."""
    words = argument.split()
    if len(words) != 4:
        return "-ERR bad args\n"
    found = switch.dialplan_text(words[3]) if words[:3] == ["dialplan", "context", "name"] else ""
    return found or "can't find anything\n"


async def file_exists(_switch: Switch, argument: str) -> str:
    """Whether stat() finds it (tried: also an empty file, a folder, and one that may not be opened)."""
    return "true" if argument and Path(argument).exists() else "false"  # noqa: ASYNC240  a local disk, as the switch's own playback
