"""The engines that operators keep as rows, as one value and as a file: what workers, bridges and the console share.

Owns the file's form and the rule which engines serve when: those of LIFELINE_ENGINES when it is set; otherwise the
enabled rows in their order, and the local engine for every stage that has no row at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ai_engine.engines.addresses import host_problem
from ai_engine.engines.config import EngineConfig, Stage, check
from ai_engine.errors import BadEngineConfigError
from callflows.definition.errors import UNREADABLE


class EngineRows(msgspec.Struct, frozen=True):
    """Enabled engines by stage and order, and the disabled ones likewise. Without any, the local engine serves."""

    enabled: tuple[EngineConfig, ...] = ()
    disabled: tuple[EngineConfig, ...] = ()

    def serving(self, local: Sequence[EngineConfig]) -> tuple[EngineConfig, ...]:
        """With the local engine for stages of which nobody has said anything; a stage whose rows are all disabled
        stays without an engine, which is what its operator wanted."""
        spoken_for = {one.stage for one in (*self.enabled, *self.disabled)}
        every = (*self.enabled, *(one for one in local if one.stage not in spoken_for))
        return tuple(one for stage in Stage for one in every if one.stage is stage)


def encode_rows(rows: EngineRows) -> bytes:
    return msgspec.json.format(msgspec.json.encode(rows), indent=1)


def decode_rows(data: bytes) -> EngineRows:
    """Raises :class:`BadEngineConfigError` for a file that is none, or that another version of Lifeline wrote."""
    try:
        return msgspec.json.decode(data, type=EngineRows)
    except UNREADABLE as error:
        raise BadEngineConfigError(f"the engines' file cannot be read: {error}") from error


def checked(engines: tuple[EngineConfig, ...], source: str, allowed_hosts: Sequence[str]) -> tuple[EngineConfig, ...]:
    """The same engines; raises :class:`BadEngineConfigError` when any cannot be used here."""
    check(engines, source)
    for engine in engines:
        if problem := host_problem(engine.url, allowed_hosts):
            raise BadEngineConfigError(f"{source}: engine {engine.name}: {problem}")
    return engines


def usable(engines: Iterable[EngineConfig]) -> tuple[tuple[EngineConfig, ...], tuple[str, ...]]:
    """For a start without earlier engines to keep: those that this process can build, and what the others lack."""
    kept: list[EngineConfig] = []
    lacking: list[str] = []
    for engine in engines:
        try:
            check([engine], "rows")
            engine.secret_value()
        except BadEngineConfigError as error:
            lacking.append(str(error))
        else:
            kept.append(engine)
    return tuple(kept), tuple(lacking)
