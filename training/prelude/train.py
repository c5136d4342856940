"""Training, resumable: run the same command again and it goes on from the last checkpoint.

    python -m prelude.train --work DIR --config nano [--run NAME] [--steps N] [--stop-after MINUTES]

The learning rate warms up, stays constant, and falls linearly to zero over the last `decay` steps (the WSD
schedule), so a constant-rate checkpoint can be continued for longer (raise --steps), or finished early
(lower --steps, or touch RUN/finish: the decay then starts at once).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pickle
import signal
import time
from functools import partial
from pathlib import Path

DEVICES = int(os.environ.get("PRELUDE_DEVICES", os.cpu_count() or 1))
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    # On a CPU, one XLA device per core and data parallelism beat one device with threads inside each operation.
    # The long time-outs let a run survive being stopped (SIGSTOP) or starved for hours.
    os.environ["XLA_FLAGS"] = (f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
                               " --xla_cpu_collective_call_warn_stuck_timeout_seconds=600"
                               " --xla_cpu_collective_call_terminate_timeout_seconds=86400")

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from . import config, memory, model, optimiser, paths
from .config import Config
from .rows import Batches, load_rows
from .objective import Metrics, loss

LOG_STEPS = 10


def make_step(c: Config, mesh: Mesh):
    """step(params, state, rows, key, t, rates) -> params, state, metrics. rows: [devices, passes, micro_rows, tokens + 1]."""

    def gradients(params, rows, key):
        key = jax.random.fold_in(key, jax.lax.axis_index("data"))

        def one_pass(carry, item):
            total, metrics = carry
            micro, index = item
            (_, m), g = jax.value_and_grad(loss, has_aux=True)(params, micro, jax.random.fold_in(key, index), c.model, c.objective, c.train.products)
            return (jax.tree.map(jnp.add, total, g), jax.tree.map(jnp.add, metrics, m)), None

        zero = (jax.tree.map(jnp.zeros_like, params), Metrics(*[jnp.float32(0)] * 2, *[jnp.int32(0)] * 2))
        sums, _ = jax.lax.scan(one_pass, zero, (rows[0], jnp.arange(rows.shape[1])))
        return jax.lax.psum(sums, "data")

    sharded = jax.shard_map(gradients, mesh=mesh, in_specs=(P(), P("data"), P()), out_specs=P(), check_vma=False)

    def step(params, state, rows, key, t, rates):
        grads, metrics = sharded(params, rows, key)
        count = rows.shape[0] * rows.shape[1] * rows.shape[2] * (rows.shape[3] - 1)
        grads = jax.tree.map(lambda g: g / count, grads)
        params, state, norm = optimiser.update(params, grads, state, t, *rates)
        return params, state, jax.tree.map(lambda m: m / count, metrics), norm

    return jax.jit(step, donate_argnums=(0, 1))


def rate_factor(step: int, c: Config, steps: int) -> float:
    t = c.train
    return min(1.0, (step + 1) / t.warmup, max(0.0, (steps - step) / t.decay) if t.decay else 1.0)


def save(path: Path, c: Config, step: int, tokens: int, steps: int, params, state) -> None:
    with paths.atomic(path, "wb") as out:
        host = jax.tree.map(np.asarray, (params, state))
        pickle.dump({"config": c.to_json(), "step": step, "tokens": tokens, "steps": steps,
                     "params": host[0], "state": tuple(host[1])}, out)


def load_params(path: Path) -> tuple[Config, dict, dict]:
    """(configuration, parameters, {step, tokens, ...}) of a checkpoint."""
    with open(path, "rb") as file:
        saved = pickle.load(file)
    return config.from_json(saved["config"]), jax.tree.map(jnp.asarray, saved["params"]), saved


def train(c: Config, work: Path, run: str, steps_asked: int | None = None, stop_after: float | None = None, save_minutes: float = 5.0,
          from_run: Path | None = None) -> Path:
    """Trains until the last step or until the time is over; returns the checkpoint's path."""
    steps = steps_asked or c.train.steps
    folder = work / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    replicated, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    params = model.init(jax.random.key(c.train.seed), c.model)
    state, first, tokens = optimiser.init(params), 0, 0
    resume = folder / "checkpoint.pkl" if (folder / "checkpoint.pkl").exists() else from_run
    if resume:
        _, params, saved = load_params(resume)
        state = optimiser.State(*jax.tree.map(jnp.asarray, saved["state"]))
        first, tokens = saved["step"], saved["tokens"]
        if steps_asked is None and resume.parent == folder:
            steps = saved["steps"]  # a decay that has begun goes on as planned
        print(f"resumed {resume} at step {first}, {tokens / 1e6:.2f} M tokens", flush=True)
    params, state = jax.device_put((params, state), replicated)
    print(f"{c.name}: {model.parameter_count(params) / 1e6:.2f} M parameters, {steps} steps of {c.train.batch_tokens} tokens, "
          f"{jax.device_count()} x {jax.devices()[0].platform}", flush=True)
    data, key = Batches(partial(load_rows, work), c.train.seed), jax.random.key(c.train.seed + 1)
    step_fn = make_step(c, mesh)
    log = open(folder / "log.jsonl", "a")
    begun = saved_at = mark = time.monotonic()
    marked = tokens
    step = first
    interrupted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: interrupted.append(received))
    while step < steps:
        if steps - step > c.train.decay and (folder / "finish").exists():
            steps = step + c.train.decay
            print(f"finish asked for: decaying until step {steps}", flush=True)
        sequence = c.train.decay_sequence if steps - step <= c.train.decay else c.train.sequence
        rows = data.rows(tokens, c.train.batch_tokens, sequence)
        micro = max(1, c.train.micro_rows * c.train.sequence // sequence)
        shaped = rows.reshape(jax.device_count(), -1, micro, sequence + 1)
        factor = rate_factor(step, c, steps)
        rates = (jnp.float32(c.train.matrix_rate * factor), jnp.float32(c.train.vector_rate * factor))
        params, state, metrics, norm = step_fn(params, state, jax.device_put(shaped, split), jax.random.fold_in(key, step),
                                               jnp.float32(step), rates)
        step, tokens = step + 1, tokens + c.train.batch_tokens
        if step % LOG_STEPS == 0 or step == steps:
            m = jax.tree.map(float, metrics)
            now = time.monotonic()
            speed, mark, marked = (tokens - marked) / (now - mark), now, tokens
            entry = {"step": step, "tokens": tokens, "loss": m.final_loss, "exit_loss": m.exit_loss, "agreement": m.agreement,
                     "accuracy": m.correct, "norm": float(norm), "rate": factor, "tokens_per_second": speed}
            log.write(json.dumps({k: round(v, 5) for k, v in entry.items()}) + "\n")
            log.flush()
            print(f"step {step:6} {tokens / 1e6:7.2f} M  loss {m.final_loss:.4f}  exit {m.exit_loss:.4f}  agree {m.agreement:.3f}  "
                  f"top1 {m.correct:.3f}  norm {float(norm):.2f}  rate {factor:.2f}  {speed:6.0f} tok/s", flush=True)
        if steps - step == c.train.decay and c.train.decay:  # the last constant-rate state: longer runs continue from it
            save(folder / "before-decay.pkl", c, step, tokens, steps, params, state)
        stop = bool(interrupted) or stop_after is not None and time.monotonic() - begun > stop_after * 60
        if step == steps or stop or time.monotonic() - saved_at > save_minutes * 60:
            save(folder / "checkpoint.pkl", c, step, tokens, steps, params, state)
            saved_at = time.monotonic()
        if stop:
            print(f"stopped after step {step}: checkpoint saved", flush=True)
            break
    return folder / "checkpoint.pkl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--config", default="nano")
    parser.add_argument("--run", help="folder name under WORK/runs (default: the configuration's name)")
    parser.add_argument("--steps", type=int, help="total steps, instead of the configuration's")
    parser.add_argument("--decay", type=int, help="steps of the final decay, instead of the configuration's")
    parser.add_argument("--stop-after", type=float, metavar="MINUTES", help="save and stop after this long")
    parser.add_argument("--from", dest="from_run", type=Path, metavar="CHECKPOINT", help="start a new run from another run's checkpoint")
    args = parser.parse_args()
    memory.keep()
    c = config.load(args.config)
    if args.decay is not None:
        c = dataclasses.replace(c, train=dataclasses.replace(c.train, decay=args.decay))
    train(c, args.work, args.run or c.name, args.steps, args.stop_after, from_run=args.from_run)


if __name__ == "__main__":
    main()
