"""A bounded run of the fuzzer: long enough to find what one careless line would let through."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 40_000
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_no_bytes_raise_anything_but_the_protocols_own_errors(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    command = [sys.executable, "-m", "tests.esl_bridge.protocol.fuzz_protocol", str(corpus)]
    limits = [f"-runs={RUNS}", "-max_total_time=40", "-max_len=6000", "-seed=1", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run([*command, *limits], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    ran = re.search(r"Done (\d+) runs", done.stderr)
    assert ran is not None
    assert int(ran[1]) > 2000
