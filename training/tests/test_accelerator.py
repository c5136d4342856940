"""What travels to an accelerator and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("PRELUDE_DEVICES", "2")

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from accelerator import pack, rehearse, shards, weights
from accelerator.schedule import progress as used, rate_factor
from prelude import config, model
from prelude.rows import load_rows, save_rows


def test_the_rate_ends_at_zero_whenever_the_time_is_over() -> None:
    assert rate_factor(0.0, 0, warmup=10, decay=0.4) == pytest.approx(0.1)
    assert rate_factor(0.5, 100, 10, 0.4) == 1
    assert rate_factor(0.8, 100, 10, 0.4) == pytest.approx(0.5)
    assert rate_factor(1.0, 5, 10, 0.4) == rate_factor(1.1, 5, 10, 0.4) == 0


def test_the_time_is_over_when_compiling_took_all_of_it() -> None:
    assert used(15, started=10, deadline=20) == 0.5
    assert used(20, 10, 20) == 1
    assert used(30, 30, 20) >= 1


def test_rows_survive_packing_and_any_load_will_do(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 8192, (50, 65), dtype=np.uint16)
    save_rows(tmp_path, rows)
    limit = pack.code_bytes() + 3500
    loads = pack.pack(tmp_path, 64, tmp_path / "loads", limit / 2**20, shard_bytes=1500)
    assert len(loads) > 1
    there = tmp_path / "there"
    there.mkdir()
    assert sum(shards.unpack(load / "shards", there, 64, 2) for load in loads) == 5
    assert shards.unpack(loads[0] / "shards", there, 64, 2) < 5
    assert (load_rows(there, 64) == rows[:len(load_rows(there, 64))]).all()
    for load in loads:
        assert sum(f.stat().st_size for f in load.rglob("*") if f.is_file()) <= limit
        assert (load / "accelerator" / "train.py").exists()


def test_weights_come_back_as_they_were_in_bfloat16(tmp_path: Path) -> None:
    c = config.load("rehearsal")
    params = model.init(jax.random.key(1), c.model)
    weights.save(tmp_path, c, {"step": 7, "tokens": 70}, params)
    same, loaded, progress = weights.load(tmp_path)
    assert same == c and progress == {"step": 7, "tokens": 70}
    for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(loaded)):
        assert (ours.astype(jnp.bfloat16) == theirs).all()


def test_pieces_of_two_checkpoints_are_refused(tmp_path: Path) -> None:
    c = config.load("rehearsal")
    for seed in (1, 2):
        weights.save(tmp_path / str(seed), c, {"step": seed, "tokens": seed}, model.init(jax.random.key(seed), c.model))
    (tmp_path / "1" / "weights.0").replace(tmp_path / "2" / "weights.0")
    with pytest.raises(ValueError, match="not of the same checkpoint"):
        weights.load(tmp_path / "2")


def test_the_base_model_fits_into_what_comes_back_and_into_the_repository() -> None:
    c = config.load("base")
    weights.check_size(c)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: model.init(jax.random.key(0), c.model))))
    assert 20e6 < parameters < 30e6 and parameters * 34 / 32 < 32 * 2**20  # Q8_0: 34 bytes for 32 weights


def test_the_way_there_and_back(tmp_path: Path) -> None:
    llama = os.environ.get("INCIPIT_LLAMA_DIR")
    seen = rehearse.run(tmp_path, sys.executable, Path(llama) if llama else None, 45)
    assert seen["loads"] > 1 and seen["loss"] < 6.0  # ln 512 = 6.2
    if llama is None:
        pytest.skip("ran all but the comparison with llama.cpp: INCIPIT_LLAMA_DIR is not set")
