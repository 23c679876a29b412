"""Callers arriving: places calls at a rate, holds their number under a limit, collects their records.

Owns arrivals. What a caller does is :mod:`simulator.callers`; how the figures are shown is the commands' business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import structlog

from simulator.callers import Caller, Patience
from simulator.channel import Identity
from simulator.hearing import PromptTexts
from simulator.line import FarEnd
from simulator.records import CallRecord, Totals
from simulator.scenarios import ACCOUNTS, GOALS, GOODBYE, NO, YES, Scenario, choose, digits_spoken, load_goals, parse_mix
from simulator.session import Session
from simulator.switch import Switch
from simulator.voices import Voices

log = structlog.get_logger(__name__)
# A caller hangs up after 180 s at the latest; beyond that something of the simulator's own is stuck.
_LAST_CALL_S: Final = 200.0
# Lifeline's word for a call with no customer on the line.
MARK: Final = MappingProxyType({"ll_simulated": "true"})


@dataclass(frozen=True, slots=True)
class TrafficConfig:
    """``rate`` in calls a second, ``scenario`` as :func:`simulator.scenarios.parse_mix` reads it."""

    rate: float = 1.0
    limit: int | None = None  # calls altogether
    duration_s: float | None = None
    at_once: int = 1000
    scenario: str = "mix"
    destination: str = "9200"
    context: str = "lifeline"
    prompt_dir: Path | None = None
    flow_snapshot: Path | None = None
    voice_cache: Path | None = None
    patience: Patience = field(default_factory=Patience)
    seed: int | None = None


class Traffic:
    """Raises :class:`simulator.errors.ScenarioError` at once when the scenario or the snapshot is wrong."""

    def __init__(self, switch: Switch, config: TrafficConfig, on_end: Callable[[CallRecord], None] | None = None) -> None:
        parse_mix(config.scenario)
        self._switch = switch
        self._config = config
        self._on_end = on_end
        self._random = random.Random(config.seed)
        self._goals = load_goals(config.flow_snapshot)
        self._texts = PromptTexts(config.prompt_dir)
        self._voices = Voices(config.voice_cache)
        self._ended = asyncio.Event()
        self.totals = Totals()
        self.started = 0
        self.live = 0

    async def prepare(self) -> None:
        """Render everything callers may say: nothing, where all of them press keys."""
        if all(scenario.keys_only for scenario, _ in parse_mix(self._config.scenario)):
            return
        texts = [words for goal in self._goals.values() for words in (*goal.utterances, *goal.choices)]
        await self._voices.prepare([*texts, *YES, *NO, *GOODBYE, *(digits_spoken(account) for account in ACCOUNTS)])

    async def run(self) -> Totals:
        """Until the limit or the duration is reached and the last call has ended."""
        config, clock = self._config, self._switch.clock
        began_s = clock.now_s()
        next_s = began_s
        while config.limit is None or self.started < config.limit:
            now_s = clock.now_s()
            if config.duration_s is not None and now_s - began_s >= config.duration_s:
                break
            if now_s < next_s:
                await clock.sleep(next_s - now_s)
                continue
            if self.live >= config.at_once:
                await self._one_ends()
                next_s = max(next_s, clock.now_s())
                continue
            self.place()
            next_s += 1 / config.rate
        await self._all_end()
        return self.totals

    def place(self, scenario: Scenario | None = None) -> Session:
        """One more call now."""
        chosen = scenario or choose(self._config.scenario, self._random)
        count = self.started + 1
        number = f"4420790{count % 10_000:04d}"
        identity = Identity(
            caller_name=f"caller {count}", caller_number=number, destination=self._config.destination,
            context=self._config.context, port=5075,
        )  # fmt: skip
        return self._switch.place_call(identity, lambda session: self.person(session, chosen), variables=MARK)

    def person(self, session: Session, scenario: Scenario) -> FarEnd:
        """A caller for a call that is just beginning, whoever placed it."""
        self.started += 1
        self.live += 1
        goal, *later = (self._goals.get(name) or GOALS[name] for name in (scenario.goal, *scenario.then))
        own_random = random.Random(self._random.random())
        return Caller(
            session, scenario, goal, own_random.choice(ACCOUNTS), self._texts, self._voices, self._record, own_random,
            self._config.patience, later,
        )  # fmt: skip

    def _record(self, record: CallRecord) -> None:
        self.live -= 1
        if self._switch.is_stopping:
            return  # the simulator itself ended: nobody's call was lost
        self.totals.add(record)
        log.info(
            "caller_gone", outcome=record.outcome.value, scenario=record.scenario, because=record.ended_because,
            fallback=record.in_fallback, understood=record.understood, duration_s=round(record.duration_s, 1),
            silence_ms=round(record.longest_silence_s * 1000),
            barge_in_ms=[None if one.barge_in_ms is None else round(one.barge_in_ms) for one in record.barge_ins],
            call_uuid=record.call_uuid,
            pii_heard=[text for _at, text in record.heard], pii_said=[text for _at, text in record.said],
        )  # fmt: skip
        self._ended.set()
        if self._on_end is not None:
            self._on_end(record)

    async def _one_ends(self) -> None:
        self._ended.clear()
        await self._ended.wait()

    async def _all_end(self) -> None:
        try:
            async with asyncio.timeout(self._switch.clock.wall_s(_LAST_CALL_S)):
                while self.live:
                    await self._one_ends()
        except TimeoutError:
            log.error("callers_stuck", live=self.live)
