"""Where things live on disk, and writing them so that an interruption never leaves half a file."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator


def default_work() -> Path:
    """Per-user cache folder for corpus, tokens, checkpoints and reports."""
    base = os.environ.get("PRELUDE_WORK")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "incipit-prelude"


@contextmanager
def atomic(path: Path, mode: str = "w") -> Iterator[IO]:
    """Write to a temporary neighbour, then rename: readers see the old file or the whole new one."""
    temporary = path.with_name(path.name + ".part")
    with open(temporary, mode) as out:
        yield out
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)
