"""A published Prelude file -> the start of a run of a larger one, which says at first what the smaller one says.

    python -m prelude.grow --gguf ../models/prelude-nano/prelude-nano.Q8_0.gguf --config small --work DIR

The tokens that the smaller model has seen are not paid for again. What is added takes part in nothing that is computed
and yet has a gradient from the first step on (Net2Net, Chen et al. 2016, section 2.2, for this kind of model): of two
factors of a product one is random, the other zero. DIR gets the file's tokeniser: make its rows (prelude.data) with it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import jax
import numpy as np

from . import config, memory, model, optimiser, paths
from .config import ModelConfig
from .from_gguf import read
from .model import Layer, Params
from .train import save

# Of what the layers write, how large the new part of a state is: enough for a gradient, too little to disturb the norms.
NEW_STATE = 0.1
KEPT = ("vocabulary", "layers", "exit_layer", "kv_heads", "head_size", "adapter", "rope_base", "norm_epsilon")


def grow(params: Params, old: ModelConfig, new: ModelConfig, seed: int = 0) -> Params:
    """The parameters of `new` that compute what `params` compute, wider by states, heads and feed-forward units.

    Raises ValueError where `new` is not `old` made wider.
    """
    differ = [name for name in KEPT if getattr(old, name) != getattr(new, name)]
    if differ or new.width < old.width or new.heads < old.heads or new.feed_forward < old.feed_forward:
        raise ValueError(f"a model can be made wider in states, heads and feed-forward units alone; here differ: {', '.join(differ) or 'nothing else'}")
    larger = model.init(jax.random.key(seed), new)
    # The mean square of a state is taken over more entries, all but none of which are new: the norm's gain takes it back.
    gain = math.sqrt(old.width / new.width)

    def norm(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.full(new.width - old.width, values.mean(), np.float32)]) * np.float32(gain)

    def layer(smaller: Layer, fresh: Layer) -> Layer:
        small = {name: np.asarray(value) for name, value in smaller.items()}
        out = {name: np.array(value) for name, value in fresh.items()}
        heads = _places_of_heads(old, new)
        for name in ("gate", "up"):
            out[name][:old.width, :old.feed_forward] = small[name]
            out[name][old.width:, :old.feed_forward] = 0
        for name in ("wk", "wv"):
            out[name][:old.width] = small[name]
            out[name][old.width:] = 0
        out["wq"][:old.width, heads] = small["wq"]
        out["wq"][old.width:, heads] = 0
        out["wo"] = _outputs(small["wo"], heads, out["wo"].shape, seed)
        out["down"] = _outputs(small["down"], np.arange(old.feed_forward), out["down"].shape, seed + 1)
        return out | {name: norm(small[name]) for name in ("attn_norm", "ffn_norm")}

    embedding = np.zeros((new.vocabulary, new.width), np.float32)
    embedding[:, :old.width] = params["embedding"]
    grown = {"embedding": embedding, "norm": norm(np.asarray(params["norm"])),
             "layers": [layer(*pair) for pair in zip(params["layers"], larger["layers"])]}
    if new.adapter:
        grown["adapter"] = layer(params["adapter"], larger["adapter"])
    return jax.tree.map(jax.numpy.asarray, grown)


def _places_of_heads(old: ModelConfig, new: ModelConfig) -> np.ndarray:
    """Where the columns of the old query heads stand: heads of one key head lie together, so new ones come between them."""
    group, wider = old.heads // old.kv_heads, new.heads // new.kv_heads
    heads = [key * wider + i for key in range(old.kv_heads) for i in range(group)]
    return np.concatenate([np.arange(head * old.head_size, (head + 1) * old.head_size) for head in heads])


def _outputs(small: np.ndarray, rows: np.ndarray, shape: tuple[int, int], seed: int) -> np.ndarray:
    """A matrix that writes into the states: what is new reads nothing at first, and new entries get a little of what is old."""
    out = np.zeros(shape, np.float32)
    added = shape[1] - small.shape[1]
    out[rows, :small.shape[1]] = small
    out[rows, small.shape[1]:] = np.random.default_rng(seed).normal(size=(len(rows), added)) * (NEW_STATE * small.std())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", help="folder name under WORK/runs (default: the configuration's name)")
    args = parser.parse_args()
    memory.keep()
    small, params, tokenizer = read(args.gguf)
    c = config.load(args.config)
    run = args.work / "runs" / (args.run or c.name)
    if (run / "checkpoint.pkl").exists():
        raise SystemExit(f"{run} has a checkpoint: a run that has begun is not overwritten")
    run.mkdir(parents=True, exist_ok=True)
    grown = grow(params, small.model, c.model, c.train.seed)
    save(run / "checkpoint.pkl", c, 0, 0, c.train.steps, grown, optimiser.init(grown))
    tokenizer.save(str(args.work / "tokenizer.json"))
    print(f"{run / 'checkpoint.pkl'}: {small.name} grown from {model.parameter_count(params) / 1e6:.2f} to {model.parameter_count(grown) / 1e6:.2f} M parameters")


if __name__ == "__main__":
    main()
