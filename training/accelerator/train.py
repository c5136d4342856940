"""Trains within a wall-clock budget, from carried files alone.

    python3 -m accelerator.train --on gpu --config base --seconds 540 --out DIR

The folder holds the loads of accelerator.pack. Everything counts: unpacking, compiling, the last save. Every minute and at
the end the weights go to its `weights` and to DIR in pieces, also on SIGTERM. The same command goes on from
`weights`: with a new warm-up, a schedule of its own, and the rows that come next.
"""

from __future__ import annotations

import time

BEGUN = time.monotonic()  # before the imports, which take seconds

import argparse
import collections
import dataclasses
import json
import os
import shutil
import signal
from functools import partial
from pathlib import Path

from prelude.train import make_step  # first: it sets how XLA divides a CPU

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from prelude import config, memory, model, optimiser
from prelude.config import Config
from prelude.rows import Batches, load_rows

from . import shards, weights
from .schedule import progress, rate_factor

SAVE_SECONDS = 60
LOG_SECONDS = 10
QUEUED = 2  # steps given to the device ahead of the one that is waited for


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def kernel(wanted: str) -> str:
    """The attention kernel that works here; a step through it and back is tried."""
    if jax.default_backend() == "cpu":
        return "xla"
    q, kv = jnp.ones((1, 128, 6, 64), jnp.bfloat16), jnp.ones((1, 128, 2, 64), jnp.bfloat16)
    attend = lambda q, kv: model.attention(q, kv, kv, wanted).astype(jnp.float32).sum()
    try:
        jax.block_until_ready(jax.jit(jax.grad(attend, (0, 1)))(q, kv))
        return wanted
    except Exception as error:  # whatever the library throws: the run can do without it, more slowly
        say(f"attention by {wanted} does not work here: {str(error).splitlines()[0][:300]}")
        return "xla"


def run(c: Config, folder: Path, out: Path, seconds: float) -> None:
    deadline = BEGUN + seconds
    if c.train.products in model.KERNELS:
        c = dataclasses.replace(c, train=dataclasses.replace(c.train, products=kernel(c.train.products)))
    t = c.train
    count = shards.unpack(folder / "shards", folder, t.sequence, os.cpu_count() or 1)
    data = Batches(partial(load_rows, folder), t.seed)
    say(f"{count} shards, {(folder / f'rows-{t.sequence}.u16').stat().st_size / 2e6:.1f} M tokens; "
        f"{jax.device_count()} x {jax.devices()[0].device_kind}, attention by {t.products}")

    first = tokens = 0
    params = model.init(jax.random.key(t.seed), c.model)
    if (folder / "weights" / weights.DESCRIPTION).exists():
        _, params, before = weights.load(folder / "weights")
        first, tokens = before["step"], before["tokens"]
        say(f"goes on from step {first}, {tokens / 1e6:.1f} M tokens")
    mesh = Mesh(np.array(jax.devices()), ("data",))
    replicated, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    params, state = jax.device_put((params, optimiser.init(params)), replicated)
    key = jax.random.key(t.seed + 1)

    def arguments(step: int, factor: float):
        rows = data.rows(tokens, t.batch_tokens, t.sequence).reshape(jax.device_count(), -1, t.micro_rows, t.sequence + 1)
        rates = (jnp.float32(t.matrix_rate * factor), jnp.float32(t.vector_rate * factor))
        return jax.device_put(rows, split), jax.random.fold_in(key, step), jnp.float32(step - first), rates

    compiled = make_step(c, mesh).lower(params, state, *arguments(first, 0.0)).compile()
    say(f"{c.name}: {model.parameter_count(params) / 1e6:.2f} M parameters, compiled for batches of {t.batch_tokens} tokens")

    interrupted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: interrupted.append(received))
    out.mkdir(parents=True, exist_ok=True)
    log = open(out / "log.jsonl", "a")
    pending: collections.deque = collections.deque()
    started = logged_at = saved_at = time.monotonic()
    logged_tokens, step, save_seconds = tokens, first, 0.0

    def save() -> float:
        begun = time.monotonic()
        for path in weights.save(folder / "weights", c, {"step": step, "tokens": tokens}, params):
            shutil.copy(path, out / f"{path.name}.part")
            os.replace(out / f"{path.name}.part", out / path.name)
        return time.monotonic() - begun

    while not interrupted:
        used = progress(time.monotonic(), started, deadline - save_seconds)
        if used >= 1 and step > first:
            break
        factor = rate_factor(used, step - first, t.warmup, t.decay / t.steps)
        params, state, metrics, norm = compiled(params, state, *arguments(step, factor))
        step, tokens = step + 1, tokens + t.batch_tokens
        pending.append((step, tokens, factor, metrics, norm))
        if len(pending) <= QUEUED:
            continue
        done, seen, factor, metrics, norm = pending.popleft()
        jax.block_until_ready(metrics)
        now = time.monotonic()
        if now - logged_at > LOG_SECONDS:
            m = jax.tree.map(float, metrics)
            entry = {"step": done, "tokens": seen, "loss": m.final_loss, "exit_loss": m.exit_loss, "agreement": m.agreement,
                     "accuracy": m.correct, "norm": float(norm), "rate": factor, "tokens_per_second": (seen - logged_tokens) / (now - logged_at)}
            log.write(json.dumps({name: round(value, 5) for name, value in entry.items()}) + "\n")
            log.flush()
            say(f"step {done:6} {seen / 1e6:7.2f} M  loss {m.final_loss:.4f}  exit {m.exit_loss:.4f}  agree {m.agreement:.3f}  "
                f"top1 {m.correct:.3f}  rate {factor:.2f}  {entry['tokens_per_second']:8.0f} tok/s")
            logged_at, logged_tokens = now, seen
        if now - saved_at > SAVE_SECONDS:
            save_seconds = save()
            saved_at = time.monotonic()
    jax.block_until_ready(params)
    trained = time.monotonic() - started
    took = save()
    say(f"{'interrupted' if interrupted else 'the time is over'}: step {step}, {tokens / 1e6:.2f} M tokens, saved in {took:.1f} s; "
        f"{(step - first) * t.batch_tokens / trained:.0f} tok/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--on", choices=("gpu", "cpu"), required=True, help="refuse to train on anything else")
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    parser.add_argument("--config", default="base")
    parser.add_argument("--seconds", type=float, required=True, help="from start to end")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    memory.keep()
    if jax.default_backend() != args.on:
        raise SystemExit(f"no {args.on} here: JAX sees {jax.devices()}")
    c = config.load(args.config)
    weights.check_size(c)
    run(c, args.folder, args.out, args.seconds)


if __name__ == "__main__":
    main()
