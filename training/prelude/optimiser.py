"""Muon for matrices, Adam for embedding and norms.

Muon (Jordan et al. 2024): momentum, then the nearest orthogonal matrix by five Newton-Schulz steps. In a few
thousand steps it reaches what AdamW needs about half as many more for, and a CPU run has only a few thousand.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

MOMENTUM = 0.95
BETA1, BETA2, EPSILON = 0.9, 0.95, 1e-8
WEIGHT_DECAY = 0.01  # of the matrices, times the learning rate ratio
CLIP = 1.0  # global gradient norm


class State(NamedTuple):
    first: dict
    second: dict  # Adam only; empty arrays for matrices


MATRICES = ("wq", "wk", "wv", "wo", "gate", "up", "down")


def is_matrix(path: tuple) -> bool:
    return path[-1].key in MATRICES


def init(params: dict) -> State:
    second = jax.tree_util.tree_map_with_path(lambda p, x: jnp.zeros(0) if is_matrix(p) else jnp.zeros_like(x), params)
    return State(jax.tree.map(jnp.zeros_like, params), second)


def orthogonal(g: jax.Array) -> jax.Array:
    """Approximately U V^T of each g = U S V^T. g: [..., rows, columns]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    transposed = g.shape[-2] > g.shape[-1]
    x = g.mT if transposed else g
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if transposed else x


def update(params: dict, grads: dict, state: State, step: jax.Array, matrix_rate: jax.Array,
           vector_rate: jax.Array) -> tuple[dict, State, jax.Array]:
    """One step; returns parameters, state and the gradient norm before clipping. step counts from 0."""
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
    grads = jax.tree.map(lambda g: g * jnp.minimum(1.0, CLIP / (norm + 1e-6)), grads)
    t = step + 1.0
    moving = jax.tree_util.tree_map_with_path(
        lambda path, first, g: MOMENTUM * first + g if is_matrix(path) else BETA1 * first + (1 - BETA1) * g, state.first, grads)
    directions = _muon(moving, grads)

    def one(path: tuple, p: jax.Array, g: jax.Array, first: jax.Array, second: jax.Array):
        if is_matrix(path):
            scale = max(1.0, p.shape[1] / p.shape[0]) ** 0.5
            return p * (1 - matrix_rate * WEIGHT_DECAY) - matrix_rate * scale * directions[path], second
        second = BETA2 * second + (1 - BETA2) * g * g
        direction = (first / (1 - BETA1**t)) / (jnp.sqrt(second / (1 - BETA2**t)) + EPSILON)
        return p - vector_rate * direction, second

    out = jax.tree_util.tree_map_with_path(one, params, grads, moving, state.second)
    pick = lambda i: jax.tree.map(lambda pair: pair[i], out, is_leaf=lambda x: isinstance(x, tuple))
    return pick(0), State(moving, pick(1)), norm


def _muon(moving: dict, grads: dict) -> dict[tuple, jax.Array]:
    """Muon's direction for each matrix, by its path; those of one kind are one batch of products."""
    momenta = jax.tree_util.tree_leaves_with_path(moving)
    ahead = {path: g + MOMENTUM * first for (path, first), g in zip(momenta, jax.tree.leaves(grads)) if is_matrix(path)}
    directions: dict[tuple, jax.Array] = {}
    for name in MATRICES:
        of_kind = [path for path in ahead if path[-1].key == name]
        directions.update(zip(of_kind, orthogonal(jnp.stack([ahead[path] for path in of_kind]))))
    return directions
