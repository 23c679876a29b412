"""The simulator's configuration out of Django's settings and a command's options; the only module that reads them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from simulator.config import SwitchConfig
from simulator.traffic import TrafficConfig

_LONGEST_CALL_S = 3600.0


def switch_config(options: Mapping[str, Any], *, inbound_port: int | None) -> SwitchConfig:
    data_dir = Path(settings.LIFELINE_DATA_DIR)
    temp_dir = data_dir / "switch-tmp"
    temp_dir.mkdir(parents=True, exist_ok=True)
    _forget_old_replies(temp_dir)
    return SwitchConfig(
        dialplan=Path(settings.LIFELINE_DIALPLAN),
        bridges=options["bridge"] or settings.LIFELINE_BRIDGES,
        inbound_host=settings.LIFELINE_SWITCH_HOST,
        inbound_port=inbound_port,
        password=settings.LIFELINE_SWITCH_PASSWORD,
        sound_dir=Path(settings.LIFELINE_PROMPT_DIR),
        temp_dir=temp_dir,
        speed=options["speed"],
        variables=(("lifeline_last_resort_dialplan", str(settings.LIFELINE_LAST_RESORT_DIALPLAN)),),
    )


def _forget_old_replies(temp_dir: Path) -> None:
    """What a simulator that was killed left behind; another one may be using the folder now."""
    for path in temp_dir.glob("*.tmp.r*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _LONGEST_CALL_S:
                path.unlink()


def traffic_config(options: Mapping[str, Any]) -> TrafficConfig:
    return TrafficConfig(
        rate=options["rate"],
        limit=options["limit"],
        duration_s=options["duration"],
        at_once=options["at_once"],
        scenario=options["scenario"],
        destination=settings.LIFELINE_CHAIN_EXTENSION,
        context=settings.LIFELINE_CHAIN_CONTEXT,
        prompt_dir=Path(settings.LIFELINE_PROMPT_DIR),
        flow_snapshot=Path(options["flow_snapshot"] or settings.LIFELINE_FLOW_SNAPSHOT),
        voice_cache=Path(settings.LIFELINE_DATA_DIR) / "caller-voices",
        seed=options["seed"],
    )
