"""Before a version is published: whether each switch finds the sound files that its calls will need.

Owns the asking of all switches at once. ``callflows`` knows no switch, and is given this by a setting.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import structlog

from console.switch_files import WHY, paths_of
from console.switch_settings import SwitchAddress
from console.switches import AT_ONCE, control_of, switches
from esl_bridge.control_errors import SwitchControlError
from ivr_fallback.parity import Problem

log = structlog.get_logger(__name__)


def problems(files: Collection[str]) -> list[Problem]:
    """One for each switch that does not find all of these prompts. A switch that cannot be asked has none: nobody knows whether
    it carries calls, and a switch that is away for long must not keep a flow from being published."""
    paths, asked = paths_of(files), switches()
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(asked))) as pool:
        found = pool.map(lambda switch: _problem(switch, paths), asked)
    return [problem for problem in found if problem is not None]


def _problem(switch: SwitchAddress, paths: list[str]) -> Problem | None:
    try:
        missing = control_of(switch).missing_files(paths)
    except SwitchControlError as error:
        log.warning("switch_not_asked_for_files", switch=switch.name, error=str(error))
        return None
    if not missing:
        return None
    return Problem(
        f"Switch {switch.name}",
        f"{len(missing)} of {len(paths)} sound files are not found by it, such as {missing[0]}: {WHY}. They are rendered; "
        "run manage.py sync_switch on its machine, then publish again. Until then its callers would be sent to the menu",
    )
