"""Before a version is published: whether each switch finds the sound files that its calls will need.

Owns the asking of all switches at once. ``callflows`` knows no switch, and is given this by a setting.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import structlog

from console.switch_files import Finding, ask, not_found, paths_of
from console.switch_settings import SwitchAddress
from console.switches import AT_ONCE, control_of, switches
from ivr_fallback.parity import Problem

log = structlog.get_logger(__name__)


def problems(files: Collection[str]) -> list[Problem]:
    """One for each switch that does not find all of these prompts. A switch that cannot be asked has none: nobody knows whether
    it carries calls, and a switch that is away for long must not keep a flow from being published."""
    paths, asked = paths_of(files), switches()
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(asked))) as pool:
        found = list(pool.map(lambda switch: ask(control_of(switch), paths), asked))
    return [problem for switch, finding in zip(asked, found, strict=True) for problem in _problems(switch, finding)]


def _problems(switch: SwitchAddress, finding: Finding) -> list[Problem]:
    if not isinstance(finding.missing, list):
        log.warning("switch_not_asked_for_files", switch=switch.name, error=str(finding.missing))
        return []
    if not finding.missing:
        return []
    then = "They are rendered; run manage.py sync_switch on its machine, then publish again. Until then calls have the one before"
    return [Problem(f"Switch {switch.name}", f"It {not_found(finding.missing, finding.asked)}. {then}")]
