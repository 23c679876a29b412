"""``manage.py figures``: what the live page shows, for operators' scripts."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandParser

from console.figures import Figures, figures
from console.speed import Speed, speed
from console.tallies import MixedReadingError


class Command(BaseCommand):
    help = "Print live calls, AI failures kept and lost, and every circuit."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on one line")

    def handle(self, *args: object, **options: object) -> None:
        found = {**as_dict(figures()), **speed_dict(_speed())}
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        for name, value in found.items():
            for line in _shown(value):
                self.stdout.write(f"{name:24} {line}")


def as_dict(found: Figures) -> dict[str, Any]:
    """Times in ISO form; circuits and workers as objects, or null when Redis cannot be asked."""
    shown = asdict(found)
    shown["since"] = found.since.isoformat()
    shown["latency_series"] = [[at.isoformat(), p50, p95] for at, p50, p95 in found.latency_series]
    shown["circuits"] = None if found.circuits is None else msgspec.to_builtins(found.circuits)
    names = ("id", "turns", "capacity")
    shown["workers"] = None if found.workers is None else [dict(zip(names, one, strict=True)) for one in found.workers]
    shown["spools"] = None if found.spools is None else msgspec.to_builtins(found.spools)
    shown["disabled_engines"] = [{"name": name, "stage": stage} for name, stage in found.disabled_engines]
    shown["engine_problems"] = [{"worker": worker, "problem": problem} for worker, problem in found.engine_problems]
    return shown


def _speed() -> Speed | None:
    try:
        return speed()
    except MixedReadingError:
        return None


def speed_dict(found: Speed | None) -> dict[str, Any]:
    """As on the page on speed: stages and caches of the last hour, consumption of today; null while a recorder catches up."""
    if found is None:
        return {"speed_since": None, "stages": None, "caches": None, "used_today": None}
    return {
        "speed_since": found.since.isoformat(),
        "stages": [_named(asdict(one)) for one in found.stages],
        "caches": [{**asdict(one), "share": round(one.share, 4)} for one in found.caches],
        "used_today": [_named(asdict(one)) for one in found.today],
    }


def _named(one: dict[str, Any]) -> dict[str, Any]:
    stage, engine, cache = one.pop("by")
    return {"stage": stage, "engine": engine, "cache": cache, **one}


def _shown(value: Any) -> list[str]:
    """What a person reads: one line a value, one a circuit, worker or minute."""
    match value:
        case None:
            return ["not known"]
        case []:
            return ["none"]
        case [[*_], *_]:
            return [_minute(*one) for one in value]
        case list():
            return [" ".join(_shown(one)) for one in value]
        case dict():
            return ["  ".join(f"{name} {_short(one)}" for name, one in value.items() if one not in (None, "", {}))]
        case _:
            return [str(value)]


def _short(value: Any) -> Any:
    """A dict within a line: ``p50=120.0,p95=130.0``."""
    return ",".join(f"{name}={one}" for name, one in value.items() if one is not None) if isinstance(value, dict) else value


def _minute(at: str, p50: float | None, p95: float | None) -> str:
    return f"{at}  {'-' if p50 is None else f'p50 {p50:g}  p95 {p95:g}'}"
