"""``make bench``: every measurement that needs nothing but this repository. ``bench.recognition`` needs a published flow too."""

from __future__ import annotations

from bench.ai.__main__ import main as measure_ai
from bench.esl.__main__ import main as measure_esl

if __name__ == "__main__":
    measure_ai()  # First: the other holds this process to one core.
    measure_esl()
