"""Files that appear whole or not at all, whoever reads them meanwhile. Owns the one way to write such a file."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

_temporary_names = itertools.count()


def write_whole(path: Path, data: bytes, durable: bool = True) -> None:
    """Replace a file in one step, readable by the switch's own user; ``durable`` survives a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_temporary_names)}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
