"""Training rows in compressed pieces, small enough to travel in several loads."""

from __future__ import annotations

import lzma
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from prelude import paths
from prelude.rows import save_rows

# Ids are two bytes wide: literals by position within the id, and a window that spans the whole shard.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 64 << 20, "lc": 0, "lp": 1, "pb": 1}]


def pack(rows: np.ndarray, folder: Path, shard_bytes: int, workers: int = 2) -> list[Path]:
    """Writes the rows, in their order, as shards of about `shard_bytes` before compression."""
    folder.mkdir(parents=True, exist_ok=True)
    each = max(1, shard_bytes // (2 * rows.shape[1]))
    files = [folder / f"rows-{rows.shape[1] - 1}.{index:03}.xz" for index in range(-(-len(rows) // each))]
    with ThreadPoolExecutor(workers) as pool:  # threads: liblzma does not hold the interpreter's lock
        list(pool.map(_compress, files, (rows[i * each:(i + 1) * each].tobytes() for i in range(len(files)))))
    return files


def _compress(path: Path, data: bytes) -> None:
    with paths.atomic(path, "wb") as out:
        out.write(lzma.compress(data, format=lzma.FORMAT_XZ, filters=_FILTERS))


def _decompress(path: Path) -> np.ndarray:
    return np.frombuffer(lzma.decompress(path.read_bytes()), dtype=np.uint16)


def unpack(folder: Path, work: Path, sequence: int, workers: int) -> int:
    """Writes the rows of all shards that are there to `work`; returns how many shards there were."""
    files = sorted(folder.glob(f"rows-{sequence}.*.xz"))
    if not files:
        raise FileNotFoundError(f"no shards of rows of {sequence} in {folder}")
    with ThreadPoolExecutor(workers) as pool:
        save_rows(work, np.concatenate(list(pool.map(_decompress, files))).reshape(-1, sequence + 1))
    return len(files)
