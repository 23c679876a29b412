#!/usr/bin/env bash
# Builds python-ESL (the control port's client) into the virtual environment given, unless it is there already.
# It is built from source with SWIG 3, gcc and Python's headers. Exit 1 with one clear line when it cannot be; nothing
# else of Lifeline needs it. Its pins are here and not in requirements.txt, because it needs SWIG before it is built.
set -euo pipefail
venv=${1:-.venv}
swig_version=3.0.12 setuptools_version=84.2.1 wheel_version=0.48.0 python_esl_version=1.4.18
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

without() {
    printf 'lifeline: the switch'\''s control port is off, everything else runs: %s\n' "$1" >&2
    exit 1
}

if "$venv/bin/python" -c 'import ESL' 2>/dev/null; then exit 0; fi

# LIFELINE_INCLUDE_DIR is for the test of this script alone.
headers=${LIFELINE_INCLUDE_DIR:-$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')}
if ! command -v gcc >/dev/null 2>&1 || [ ! -f "$headers/Python.h" ]; then
    without "python-ESL needs gcc and Python's headers: apt-get install gcc python3-dev, then start again."
fi

echo "lifeline: building python-ESL"
log="$venv/python-esl-build.log"
venv_bin=$(cd "$venv/bin" && pwd)
if ! { "$venv/bin/python" -m pip install --quiet "swig==$swig_version" "setuptools==$setuptools_version" "wheel==$wheel_version" &&
    PATH="$venv_bin:$PATH" "$venv/bin/python" -m pip install --quiet --no-build-isolation "python-ESL==$python_esl_version" &&
    "$venv/bin/python" -c 'import ESL'; } >"$log" 2>&1; then
    without "python-ESL could not be built; why is in $log"
fi
