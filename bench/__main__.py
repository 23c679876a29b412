"""``make bench``: every measurement that needs nothing but this repository. ``bench.recognition`` needs a published flow too."""

from __future__ import annotations

from bench.esl.__main__ import main

if __name__ == "__main__":
    main()
