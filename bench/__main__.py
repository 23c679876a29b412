"""``make bench``: runs every ``bench/bench_*.py`` and prints what its ``run()`` yields: (what, figure)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> None:
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        for what, figure in importlib.import_module(f"bench.{path.stem}").run():
            sys.stdout.write(f"{what:72} {figure}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
