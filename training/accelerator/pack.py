"""What travels to an accelerator: the code and the training rows, in loads that stand alone.

    python -m accelerator.pack --work DIR --config base --to FOLDER [--weights PIECES] [--mebibytes 44]

Writes FOLDER/load-1, load-2, ...: each the code and some of the shards, at most so many MiB. Copied into one folder
they are all that accelerator.train needs; any of them alone will do, with less text. --weights: go on from these.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from prelude import config, paths
from prelude.rows import load_rows

from . import shards, weights

TRAINING = Path(__file__).resolve().parent.parent
CODE = ["config.json", *(f"prelude/{name}.py" for name in
                         ("__init__", "config", "memory", "model", "objective", "optimiser", "paths", "rows", "train")),
        *(f"accelerator/{name}.py" for name in ("__init__", "schedule", "shards", "train", "weights"))]
SHARD_BYTES = 24 << 20  # before compression: small enough that loads are filled evenly and all cores unpack


def pack(work: Path, sequence: int, to: Path, mebibytes: float, pieces: Path | None = None, shard_bytes: int = SHARD_BYTES) -> list[Path]:
    """Writes the loads; returns their folders."""
    files = shards.pack(load_rows(work, sequence), to / "shards", shard_bytes)
    loads: list[Path] = []
    room = 0.0
    for file in files:
        if file.stat().st_size > room:
            loads.append(_new_load(to / f"load-{len(loads) + 1}", pieces if not loads else None))
            room = mebibytes * 2**20 - sum(f.stat().st_size for f in loads[-1].rglob("*") if f.is_file())
            if file.stat().st_size > room:
                raise ValueError(f"a shard of {file.stat().st_size / 2**20:.1f} MiB does not fit into a load of {mebibytes} MiB")
        file.rename(loads[-1] / "shards" / file.name)
        room -= (loads[-1] / "shards" / file.name).stat().st_size
    (to / "shards").rmdir()
    return loads


def code_bytes() -> int:
    return sum((TRAINING / name).stat().st_size for name in CODE)


def _new_load(folder: Path, pieces: Path | None) -> Path:
    for name in CODE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TRAINING / name, folder / name)
    (folder / "shards").mkdir()
    if pieces:
        (folder / "weights").mkdir()
        for path in pieces.glob("weights.*"):
            shutil.copy(path, folder / "weights" / path.name)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--config", default="base")
    parser.add_argument("--to", type=Path, required=True, help="an empty or new folder")
    parser.add_argument("--weights", type=Path, help="go on from these pieces")
    parser.add_argument("--mebibytes", type=float, default=44, help="size of one load")
    args = parser.parse_args()
    c = config.load(args.config)
    weights.check_size(c)
    for load in pack(args.work, c.train.sequence, args.to, args.mebibytes, args.weights):
        size = sum(f.stat().st_size for f in load.rglob("*") if f.is_file())
        print(f"{load}: {size / 2**20:.1f} MiB, {len(list(load.glob('shards/*')))} shards")


if __name__ == "__main__":
    main()
