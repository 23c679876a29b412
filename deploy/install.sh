#!/usr/bin/env bash
# Makes .venv with everything of requirements.txt (and, with --dev, of requirements-dev.txt), only when they changed.
# Says nothing when there is nothing to do. pip is quiet, but its errors are shown, and a failed pip is a failed start.
# python-ESL comes last and by a script of its own: without it everything but the control port still runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
files=(requirements.txt constraints.txt)
wanted=requirements.txt
if [ "${1:-}" = --dev ]; then
    wanted=requirements-dev.txt
    files+=(requirements-dev.txt)
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

fail() {
    printf 'lifeline: %s\n' "$1" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

if [ -d "$venv" ] && [ "$(version_of "$venv/bin/python")" != 3.11 ]; then
    fail "$venv was made with another Python: remove it with \`make clean\`, then start again."
fi

if [ ! -d "$venv" ]; then
    python=${PYTHON:-}
    if [ -z "$python" ]; then
        python=python3
        if command -v python3.11 >/dev/null 2>&1; then python=python3.11; fi
    fi
    found=$(version_of "$python")
    if [ "$found" != 3.11 ]; then
        fail "Python 3.11 is needed, and $python is ${found:-not there}: install it (Debian 12: apt-get install python3 python3-venv), or say where it is: make run PYTHON=python3.11"
    fi
    echo "lifeline: making $venv with Python $found"
    if ! said=$("$python" -m venv "$venv" 2>&1); then
        rm -rf "$venv"
        printf '%s\n' "$said" >&2
        fail "$python cannot make a virtual environment: apt-get install python3-venv"
    fi
fi

stamp="$venv/.installed-$wanted"
checksum=$(cat "${files[@]}" | "$venv/bin/python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$checksum" ]; then
    echo "lifeline: installing $wanted (a minute or two, the first time)"
    rm -f "$stamp"
    "$venv/bin/python" -m pip install --quiet --quiet -r "$wanted" -c constraints.txt ||
        fail "pip could not install $wanted (its reason is above). Nothing was started."
    echo "$checksum" >"$stamp"
fi

bash deploy/install-python-esl.sh "$venv" || true
