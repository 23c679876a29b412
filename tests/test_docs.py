"""The documentation against the code: every setting, each plain default, and links that lead somewhere."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from ai_engine.circuits.states import TRANSITIONS
from ai_engine.circuits.transition_table import PAGE, with_table
from ai_engine.engines.config import EngineConfig
from ai_engine.engines.trace import Price
from ai_engine.worker import DRAIN_S
from bench.results_file import FOLDER, Figure
from console.launcher.parts import Part
from console.launcher.stack_plan import AFTER_DRAIN_S, CELERY_STOP_S, WORKER_STOP_S

ROOT = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?P<default>[^|]+) \| (?P<meaning>[^|]+) \|$", re.MULTILINE)
# What these readers use when the call says no default.
IMPLICIT = {"names": "", "flag": False}


def settings_in_the_code() -> dict[str, object]:
    """Each name that ``console/settings.py`` reads, with its default; Ellipsis for one that is computed."""
    found: dict[str, object] = {}
    for node in ast.walk(ast.parse((ROOT / "console/settings.py").read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        reader = ast.unparse(node.func)
        readers = "text|flag|one_of|number|port|names|name|networks|sound_folder|media_url|url|path|secret"
        if not re.fullmatch(rf"env\.({readers})|os\.environ\.get", reader):
            continue
        name = ast.literal_eval(node.args[0])
        if len(node.args) > 1:
            found[name] = node.args[1].value if isinstance(node.args[1], ast.Constant) else ...
        else:
            found[name] = IMPLICIT[node.func.attr]
    return found


CODE = settings_in_the_code()
DOCUMENTED = {row["name"]: row["default"] for row in ROW.finditer((ROOT / "docs/settings.md").read_text())}


def test_exactly_the_settings_there_are_are_documented() -> None:
    assert sorted(DOCUMENTED) == sorted(CODE)


def test_the_reading_of_the_code_finds_what_is_certainly_there() -> None:
    assert CODE["LIFELINE_ESL_PORT"] == 8084
    assert CODE["LIFELINE_DEMO"] is False
    assert CODE["DATABASE_URL"] is ...


@pytest.mark.parametrize("name", [name for name, default in CODE.items() if default not in ("", ...)])
def test_a_plain_default_is_documented_as_it_is(name: str) -> None:
    default = CODE[name]
    text = str(default).lower() if isinstance(default, bool) else str(default)
    assert DOCUMENTED[name] == f"`{text}`"


PAGES = [Path("README.md"), Path("CONTRIBUTING.md"), *sorted(p.relative_to(ROOT) for p in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?<!!)\[[^]]+\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_line_to_copy_puts_real_callers_into_demonstration_mode(page: Path) -> None:
    for line in (ROOT / page).read_text().splitlines():
        if "LIFELINE_RUN_WITHOUT=simulator" in line:
            assert "LIFELINE_DEMO=false" in line


def test_the_circuits_table_is_that_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run: python -m ai_engine.circuits.transition_table"
    assert page.count("\n| ") == len(TRANSITIONS) + 1


def test_every_key_of_an_engine_in_the_setting_is_on_the_page_and_no_other() -> None:
    section = (ROOT / "docs/ai-engines.md").read_text().split("## Adding one")[1].split("## Which engines serve")[0]
    keys = [row.split(" | ")[1] for row in section.splitlines() if row.startswith("| ")][1:]
    assert sorted(re.findall(r"`(\w+)`", " ".join(keys))) == sorted((*EngineConfig.__struct_fields__, *Price.__struct_fields__))


def test_the_engine_s_ports_and_the_times_to_stop_are_those_of_the_code() -> None:
    page = (ROOT / "docs/running.md").read_text()
    assert f"| {CODE['LIFELINE_ENGINE_STT_PORT']}, {CODE['LIFELINE_ENGINE_HTTP_PORT']} |" in page
    said = " ".join(page.split())
    assert f"A worker finishes its turns ({DRAIN_S:g} s, killed after {WORKER_STOP_S:g}), " in said
    assert f"Celery its task ({CELERY_STOP_S:g} s), the switch watch what it has heard ({AFTER_DRAIN_S:g} s); " in said
    assert f"the others have {Part('any', ()).grace_s:g} s." in said


def test_every_file_of_results_is_told_of_and_what_a_recogniser_missed_is_said() -> None:
    pages = "".join((ROOT / page).read_text() for page in PAGES)
    for path in FOLDER.glob("*.json"):
        assert f"bench/results/{path.name}" in pages, path.name
    for name, one in json.loads((FOLDER / "recognition.json").read_text())["figures"].items():
        if Figure(**one).reached is False:
            assert f"| {name} | {one['value']} {one['unit']} | {one['aim']} | **missed** |" in pages, name
