"""Weights in pieces: what a run on an accelerator saves every minute, and what comes back from it.

    python -m accelerator.weights --pieces DIR --run base     # pieces -> WORK/runs/base/checkpoint.pkl

Few files, none large, as a lease allows: bfloat16, without the optimiser's state, which would be twice as much. A run
that goes on warms up again instead.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from prelude import config, memory, model, optimiser, paths
from prelude.config import Config
from prelude.train import save as save_checkpoint

PIECE_BYTES = 15 << 20
MOST_PIECES = 4  # of the 64 MiB that come back, the log and the description have the rest
DESCRIPTION = "weights.json"


def check_size(c: Config) -> None:
    """Raises when the weights of this model would not come back."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), c.model))
    size = 2 * sum(leaf.size for leaf in jax.tree.leaves(shapes))
    if size > MOST_PIECES * PIECE_BYTES:
        raise ValueError(f"{size / 2**20:.0f} MiB of weights do not fit into {MOST_PIECES} pieces of {PIECE_BYTES >> 20} MiB")


def save(folder: Path, c: Config, progress: dict, params: dict) -> list[Path]:
    """Writes the pieces and their description; all are renamed at once, so that they belong together."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = np.concatenate([np.asarray(leaf.astype(jnp.bfloat16)).ravel() for leaf in jax.tree.leaves(params)]).tobytes()
    contents = {f"weights.{i}": flat[at:at + PIECE_BYTES] for i, at in enumerate(range(0, len(flat), PIECE_BYTES))}
    pieces = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    contents[DESCRIPTION] = json.dumps({"config": c.to_json(), **progress, "pieces": pieces}, indent=1).encode()
    for name, data in contents.items():
        (folder / f"{name}.part").write_bytes(data)
    for name in contents:
        os.replace(folder / f"{name}.part", folder / name)
    return [folder / name for name in contents]


def load(folder: Path) -> tuple[Config, dict, dict]:
    """(configuration, parameters in float32, {step, tokens}) of the pieces in a folder."""
    description = json.loads((folder / DESCRIPTION).read_text())
    c = config.from_json(description["config"])
    data = []
    for name, digest in description["pieces"].items():
        data.append((folder / name).read_bytes())
        if hashlib.sha256(data[-1]).hexdigest() != digest:
            raise ValueError(f"{folder / name} is not of the same checkpoint as {DESCRIPTION}")
    flat = np.frombuffer(b"".join(data), dtype=ml_dtypes.bfloat16).astype(np.float32)
    shapes, structure = jax.tree.flatten(jax.eval_shape(lambda: model.init(jax.random.key(0), c.model)))
    ends = np.cumsum([leaf.size for leaf in shapes])
    leaves = [jnp.asarray(part.reshape(leaf.shape)) for part, leaf in zip(np.split(flat, ends[:-1]), shapes)]
    return c, jax.tree.unflatten(structure, leaves), {name: description[name] for name in ("step", "tokens")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pieces", type=Path, required=True, help="folder of weights.json and its pieces")
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", default="base")
    args = parser.parse_args()
    memory.keep()
    c, params, progress = load(args.pieces)
    run = args.work / "runs" / args.run
    run.mkdir(parents=True, exist_ok=True)
    save_checkpoint(run / "checkpoint.pkl", c, progress["step"], progress["tokens"], progress["step"], params, optimiser.init(params))
    print(f"{run / 'checkpoint.pkl'}: {progress['tokens'] / 1e6:.1f} M tokens, {progress['step']} steps")


if __name__ == "__main__":
    main()
