"""A call's variables in FreeSWITCH's order, each with its line in the call's events.

Owns the order and the lines. What a call's variables are is :mod:`simulator.call_variables`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Final, Self

from simulator import wire
from simulator.events import Block

_PREFIX: Final = "variable_"


class Variables(MutableMapping[str, str]):
    """Nearly all of a hundred are the same from event to event: only what has changed is encoded again."""

    __slots__ = ("_block", "_lines", "_unencoded", "_values")

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values: dict[str, str] = {}
        self._lines: dict[str, str] = {}  # in the order of the values
        self._unencoded: set[str] = set()  # whose line is still empty
        self._block: Block | None = None
        self.update(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __setitem__(self, name: str, value: str) -> None:
        """What is there already keeps its place."""
        self._values[name] = value
        self._lines[name] = ""
        self._unencoded.add(name)
        self._block = None

    def __delitem__(self, name: str) -> None:
        del self._values[name], self._lines[name]
        self._block = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __ior__(self, others: Mapping[str, str]) -> Self:
        self.update(others)
        return self

    def put(self, name: str, value: str | None) -> None:
        """An empty value removes, as switch_channel_set_variable does; a changed one moves to the end."""
        values, lines = self._values, self._lines  # at once, and not by way of the two above: each application sets three
        if name in values:
            del values[name], lines[name]
        if value:
            values[name] = value
            lines[name] = ""
            self._unencoded.add(name)
        self._block = None

    def block(self) -> Block:
        """``variable_…`` headers as they are now; the same object until one changes."""
        if self._block is None:
            lines, values = self._lines, self._values
            for name in self._unencoded & lines.keys():
                lines[name] = f"{_PREFIX}{name}: {wire.url_encode(values[name])}\n"
            self._unencoded.clear()
            kept = values.copy()
            self._block = Block("".join(lines.values()), lambda: ((_PREFIX + name, value) for name, value in kept.items()))
        return self._block
