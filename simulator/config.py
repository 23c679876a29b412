"""Everything the simulator can be told, as plain values: tests and commands build it, nothing here reads settings."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AgentsConfig:
    """The people behind ``bridge``: how long they ring and talk, and which ports answer 503 like the recorded one."""

    ring_s: tuple[float, float] = (1.0, 2.0)
    talk_s: tuple[float, float] = (3.0, 6.0)
    refused_ports: frozenset[int] = frozenset({5099})
    at_most: int = 1000  # agents talking at once; more callers are answered USER_BUSY


@dataclass(frozen=True, slots=True)
class SwitchConfig:
    """``bridges`` becomes ``$${lifeline_bridges}``, the host list of the dialplan's ``socket`` action;
    ``$${lifeline_bridges_next}`` is the same one, beginning with its second."""

    dialplan: Path
    bridges: str = "127.0.0.1:8084"
    inbound_host: str = "127.0.0.1"
    inbound_port: int | None = None  # None: no inbound socket; 0: any free port
    password: str = "ClueCon"  # FreeSWITCH's own well-known default
    sound_dir: Path = Path("/usr/share/freeswitch/sounds")
    temp_dir: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    speed: float = 1.0
    api_expansion: bool = False  # as deploy/freeswitch sets it; True is the dangerous default of a real switch
    max_sessions: int = 10_000
    agents: AgentsConfig = AgentsConfig()
    variables: tuple[tuple[str, str], ...] = ()  # further globals
