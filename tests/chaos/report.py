"""What a run found: the lines it prints, the table of ``docs/reliability.md`` and the figures' file. Owns the words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.results_file import FOLDER, Figure, machine, write_results
from simulator.records import percentile
from tests.chaos import agreement
from tests.chaos.compare import LIMITS_S, Difference, Findings, Happened
from tests.chaos.cpu import Used
from tests.chaos.faults import Notice
from tests.stack import ROOT

RESULTS = FOLDER / "chaos.json"
PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


def figures(found: Findings, happened: Sequence[Happened]) -> dict[str, Figure]:
    silences = [float(one) for one in found.silences_ms]
    limits_ms = {notice: LIMITS_S[notice] * 1000 for notice in Notice}
    return {
        "calls": Figure(found.calls, "calls"),
        "most_calls_at_once": Figure(found.most_at_once, "calls"),
        "faults": Figure(len(happened), "injected"),
        "kinds_of_fault": Figure(len({one.name for one in happened}), "kinds"),
        "dropped": Figure(len(found.dropped), "calls", "at most 0"),
        "wrong_outcomes": Figure(len(found.wrong), "calls", "at most 0"),
        "left_in_silence": Figure(len(found.left_in_silence), "calls"),
        "last_resort_as_lost": Figure(len(found.last_resort_as_lost), "calls", "at most 0"),
        "journal_events": Figure(found.journal_events, "events"),
        "journal_lost": Figure(found.journal_lost, "events", "at most 0"),
        "journal_repeated": Figure(found.journal_repeated, "events", "at most 0"),
        "silence_p50_ms": Figure(percentile(silences, 0.50), "ms"),
        "silence_p99_ms": Figure(percentile(silences, 0.99), "ms"),
        "longest_silence_ms": Figure(found.longest_ms[Notice.TURN], "ms", f"at most {limits_ms[Notice.TURN]:g}"),
        **_of_bridges(found, happened),
        "silences_too_long": Figure(len(found.too_long), "silences", "at most 0"),
        "failed_over": Figure(found.ways["database"]["ai_failures_failed_over"], "calls"),
        "figures_that_disagree": Figure(len(agreement.compare(found.ways)), f"of {len(agreement.ON_PAGE)}, by 4 ways", "at most 0"),
    }


def _of_bridges(found: Findings, happened: Sequence[Happened]) -> dict[str, Figure]:
    """A limit that nothing in this run could have passed is no figure: "reached" would prove nothing."""
    shown = {}
    kinds = (("kill", "restart"), Notice.BRIDGE_KILLED, "under"), (("freeze", "stall"), Notice.BRIDGE_FROZEN, "at most")
    for words, notice, aim in kinds:
        if any(one.name.startswith(words) and "bridge" in one.name for one in happened):
            name = f"longest_silence_{notice.value}_ms"
            shown[name] = Figure(found.longest_ms[notice], "ms", f"{aim} {LIMITS_S[notice] * 1000:g}")
    return shown


def lines(found: Findings, happened: Sequence[Happened]) -> list[str]:
    said = [f"{name:34} {one.value:>10g} {one.unit:10} {_verdict(one)}" for name, one in figures(found, happened).items()]
    for title, differences in (
        ("dropped", found.dropped), ("wrong", found.wrong), ("last resort recorded as lost", found.last_resort_as_lost),
        ("too long a silence", found.too_long),
    ):  # fmt: skip
        said += [f"{title}: {one.call_uuid} {one.why} [{'; '.join(one.during)}]" for one in differences]
    counts = Counter(one.name for one in happened)
    said += [f"injected {count} times: {name}" for name, count in sorted(counts.items())]
    said += [
        f"{way:34} {read['ai_failures_failed_over']} failed over, {read['ai_failures_dropped']} dropped"
        for way, read in found.ways.items()
    ]
    return [*said, *agreement.compare(found.ways)]


def machine_limits(used: Used, late_ms: Mapping[str, int]) -> list[str]:
    """Who used how much of the machine, the most first; and how late the callers' own timers were."""
    shown = [*used.cores.items(), ("everything beside this run", used.others), ("idle", used.idle)]
    return [f"{name:34} {cores:>10.2f} of {used.count} cores" for name, cores in shown if cores >= 0.005] + [
        f"{f'callers were late themselves, {which}':34} {ms:>10d} ms" for which, ms in late_ms.items()
    ]


def _machine_figures(used: Used, late_ms: Mapping[str, int]) -> dict[str, Figure]:
    own = round(sum(used.cores.values()), 2)
    late = {f"callers_late_{which}_ms": Figure(ms, "ms") for which, ms in late_ms.items()}
    return {"cores_used": Figure(own, "cores"), "cores_of_others": Figure(round(used.others, 2), "cores"), **late}


def _machine_words(used: Used, late_ms: Mapping[str, int]) -> str:
    most = ", ".join(f"{name} {cores:.2f}" for name, cores in list(used.cores.items())[:8])
    late = ", ".join(f"{which} {ms} ms" for which, ms in late_ms.items())
    own = sum(used.cores.values())
    return (
        f"Processor time, in cores of {used.count}: this run {own:.2f} (the most: {most}), whatever else the machine did "
        f"{used.others:.2f}, idle {used.idle:.2f}. The callers' own timers were late by {late}."
    )


def passed(found: Findings, happened: Sequence[Happened]) -> bool:
    return all(one.reached is not False for one in figures(found, happened).values())


def write(
    found: Findings, happened: Sequence[Happened], command: str, on_machine: str, load_words: str, kinds: Sequence[str],
    used: Used, late_ms: Mapping[str, int],
) -> None:  # fmt: skip
    """The figures' file, and the table in the documentation. ``kinds``: of all faults that could have come."""
    write_results(RESULTS, command, on_machine, {**figures(found, happened), **_machine_figures(used, late_ms)})
    text = PAGE.read_text(encoding="utf-8")
    table = _table(found, happened, command, on_machine, load_words, kinds) + "\n\n" + _machine_words(used, late_ms)
    replaced = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL)
    PAGE.write_text(replaced, encoding="utf-8")


def on_this_machine() -> str:
    return machine("real processes, simulated switch")


def _table(
    found: Findings, happened: Sequence[Happened], command: str, on_machine: str, load_words: str, kinds: Sequence[str]
) -> str:
    shown = figures(found, happened).items()
    rows = [f"| {name} | {one.value:g} {one.unit} | {one.aim} | {_verdict(one)} |" for name, one in shown]
    counts = Counter(one.name for one in happened)
    injected = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in sorted(counts.items()))
    missed = sorted(set(kinds) - set(counts))
    head = [f"`{command}`, {load_words}; {on_machine}.", "", "| figure | value | aim | |", "|---|---|---|---|"]
    not_injected = f"Not injected this time ({len(missed)} of {len(kinds)} kinds): {', '.join(missed) or 'none'}."
    return "\n".join([*head, *rows, "", f"Injected: {injected}.", "", not_injected, *_open(found)])


def _open(found: Findings) -> list[str]:
    """What is not as it should be, in counts by what was going on."""
    groups: Iterable[tuple[str, list[Difference]]] = (
        ("dropped", found.dropped), ("wrong", found.wrong), ("last resort recorded as lost", found.last_resort_as_lost),
    )  # fmt: skip
    return [
        f"\nNot as it should be, {title}: {len(some)} ({'; '.join(sorted({one.why for one in some}))})."
        for title, some in groups
        if some
    ]


def _verdict(one: Figure) -> str:
    return "" if one.reached is None else "reached" if one.reached else "**missed**"
