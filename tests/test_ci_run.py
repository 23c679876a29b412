"""``.ci/run`` with stand-ins for apt and make: no check is skipped for want of a program that apt has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Where a machine may have haproxy already; .ci/run looks there too.
THERE = {tool for tool in ("haproxy", "promtool") if shutil.which(tool, path="/usr/sbin")}
# APT: what apt has. What it installs is there afterwards; what it downloads, dpkg-deb unpacks.
APT = """#!/bin/sh
echo "apt-get $*" >>"$LOG"
for name; do :; done
case "$1" in
    update) exit 0 ;;
    *) case " $APT " in *" $name "*) ;; *) echo "E: Unable to locate package $name" >&2; exit 100 ;; esac ;;
esac
if [ "$1" = download ]; then echo >"${name}_1_all.deb"; else printf '#!/bin/sh\\n' >"$BIN/$name"; chmod +x "$BIN/$name"; fi
"""
DPKG = """#!/bin/sh
mkdir -p usr/bin && printf '#!/bin/sh\\n' >usr/bin/promtool && chmod +x usr/bin/promtool && tar -c ./usr/bin/promtool
"""
SUDO = '#!/bin/sh\nexec "$@"\n'
# Asked for the folder of its headers, and for what it can import.
PYTHON = '#!/bin/sh\necho "$BIN"\n'
MAKE = """#!/bin/sh
echo "make $* with $(command -v haproxy >/dev/null && echo haproxy) $(command -v promtool >/dev/null && echo promtool)" >>"$LOG"
"""


def run(folder: Path, apt_has: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    programs = folder / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "id", "mkdir", "mktemp", "rm", "chmod", "sh", "tar"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    stand_ins = {"apt-get": APT, "dpkg-deb": DPKG, "make": MAKE, "chromium": "", "gcc": "", "sudo": SUDO, "python3.11": PYTHON}
    (programs / "Python.h").touch()
    for name, text in stand_ins.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    env = {"PATH": str(programs), "LOG": str(folder / "log"), "APT": apt_has, "BIN": str(programs), "TMPDIR": str(folder)}
    script = ROOT / ".ci/run"
    done = subprocess.run(["bash", str(script)], env=env, capture_output=True, text=True, timeout=60, check=False)
    return done, (folder / "log").read_text().splitlines()


def test_the_checks_run_with_what_apt_has_and_no_server_is_installed_for_its_tool(tmp_path: Path) -> None:
    done, log = run(tmp_path, "haproxy prometheus")
    assert done.returncode == 0, done.stderr
    assert [line for line in log if line.startswith("make")] == [
        f"make {target} with haproxy promtool" for target in ("lint", "test", "test-slow")
    ]
    assert not [line for line in log if " install " in line and "prometheus" in line]
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "log"], "what was downloaded is gone"


def test_what_apt_does_not_have_is_said_in_a_line_each_and_fails_nothing(tmp_path: Path) -> None:
    done, log = run(tmp_path, "")
    assert done.returncode == 0, done.stderr
    assert [line.split(" with")[0] for line in log if line.startswith("make")] == ["make lint", "make test", "make test-slow"]
    said = [line for line in done.stderr.splitlines() if line.startswith(".ci/run")]
    assert said == [
        f".ci/run: no {tool}, and apt has none: the tests that drive it are skipped"
        for tool in ("haproxy", "promtool")
        if tool not in THERE
    ]
