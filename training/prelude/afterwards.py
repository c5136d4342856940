"""An exit for a model that was trained without one: one more layer on the exit's state, the rest frozen.

    python -m prelude.afterwards --run ablation-plain [--steps 150]

The layer learns the full model's distribution (KL). What it reaches is what training the whole model for its exit
has to beat. Writes the run RUN-afterwards, which prelude.evaluate measures.
"""

from __future__ import annotations

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from . import memory, model, optimiser, paths
from .config import Config, Objective
from .rows import Batches, load_rows
from .objective import loss_of_logits
from .train import load_params, rate_factor, save

ONLY_DISTIL = Objective(exit_weight=1.0, distil=1.0)


def fit(c: Config, params: dict, data: Batches, steps: int) -> dict:
    """The parameters with an adapter; c says that there is one."""
    adapter = {"adapter": model.init_layer(jax.random.key(c.train.seed), c.model, 0.0)}
    state = optimiser.init(adapter)
    schedule = dataclasses.replace(c, train=dataclasses.replace(c.train, decay=steps // 3))

    @jax.jit
    def step(adapter, state, rows, t, rates):
        def loss(adapter):
            states = jax.tree.map(lambda s: s.reshape(-1, c.model.width), model.forward({**params, **adapter}, rows[:, :-1], c.model))
            exit, final = (model.logits(params, state, c.model) for state in states)
            total, metrics = loss_of_logits(jax.lax.stop_gradient(final), exit, rows[:, 1:].reshape(-1), ONLY_DISTIL)
            return total / final.shape[0], metrics.agreement / final.shape[0]

        grads, agreement = jax.grad(loss, has_aux=True)(adapter)
        adapter, state, _ = optimiser.update(adapter, grads, state, t, *rates)
        return adapter, state, agreement

    tokens = 2048
    for index in range(steps):
        factor = rate_factor(index, schedule, steps)
        rates = (jnp.float32(c.train.matrix_rate * factor), jnp.float32(c.train.vector_rate * factor))
        rows = data.rows(index * tokens, tokens, c.train.sequence)
        adapter, state, agreement = step(adapter, state, rows, jnp.float32(index), rates)
        if (index + 1) % 10 == 0:
            print(f"step {index + 1:4}  agree {float(agreement):.3f}", flush=True)
    return {**params, **adapter}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", default="ablation-plain")
    parser.add_argument("--steps", type=int, default=150)
    args = parser.parse_args()
    memory.keep()
    c, params, saved = load_params(args.work / "runs" / args.run / "checkpoint.pkl")
    c = dataclasses.replace(c, name=f"{c.name}-afterwards", model=dataclasses.replace(c.model, adapter=True))
    params = fit(c, params, Batches(partial(load_rows, args.work), c.train.seed), args.steps)
    folder = args.work / "runs" / f"{args.run}-afterwards"
    folder.mkdir(exist_ok=True)
    save(folder / "checkpoint.pkl", c, saved["step"], saved["tokens"], saved["steps"], params, optimiser.init(params))


if __name__ == "__main__":
    main()
