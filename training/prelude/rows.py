"""Rows of token ids on disk, and which of them a training position sees."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np

from . import paths


def save_rows(work: Path, rows: np.ndarray) -> None:
    with paths.atomic(work / f"rows-{rows.shape[1] - 1}.u16", "wb") as out:
        rows.tofile(out)


def load_rows(work: Path, sequence: int) -> np.ndarray:
    return np.memmap(work / f"rows-{sequence}.u16", dtype=np.uint16, mode="r").reshape(-1, sequence + 1)


class Batches:
    """Rows for each step as a pure function of the step, so that a resumed run sees what an uninterrupted one would.

    Rows of one length are visited in a seeded order per epoch.
    """

    def __init__(self, rows: Callable[[int], np.ndarray], seed: int) -> None:
        self._load, self._seed = rows, seed
        self._sequence = 0
        self._rows = np.zeros((0, 1), dtype=np.uint16)
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)

    def rows(self, first_token: int, tokens: int, sequence: int) -> np.ndarray:
        """[tokens / sequence, sequence + 1] int32: the rows that begin at training position first_token."""
        if sequence != self._sequence:
            self._sequence, self._rows, self._epoch = sequence, self._load(sequence), -1
        out = []
        for position in range(first_token // sequence, (first_token + tokens) // sequence):
            epoch, index = divmod(position, len(self._rows))
            if epoch != self._epoch:
                self._epoch = epoch
                self._order = np.random.default_rng([self._seed, epoch, sequence]).permutation(len(self._rows))
            out.append(self._rows[self._order[index]].astype(np.int32))
        return np.stack(out)
