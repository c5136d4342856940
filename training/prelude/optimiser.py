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


def is_matrix(path: tuple) -> bool:
    return path[-1].key in ("wq", "wk", "wv", "wo", "gate", "up", "down")


def init(params: dict) -> State:
    second = jax.tree_util.tree_map_with_path(lambda p, x: jnp.zeros(0) if is_matrix(p) else jnp.zeros_like(x), params)
    return State(jax.tree.map(jnp.zeros_like, params), second)


def orthogonal(g: jax.Array) -> jax.Array:
    """Approximately U V^T of g = U S V^T."""
    a, b, c = 3.4445, -4.7750, 2.0315
    transposed = g.shape[0] > g.shape[1]
    x = g.T if transposed else g
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if transposed else x


def update(params: dict, grads: dict, state: State, step: jax.Array, matrix_rate: jax.Array,
           vector_rate: jax.Array) -> tuple[dict, State, jax.Array]:
    """One step; returns parameters, state and the gradient norm before clipping. step counts from 0."""
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
    grads = jax.tree.map(lambda g: g * jnp.minimum(1.0, CLIP / (norm + 1e-6)), grads)
    t = step + 1.0

    def one(path: tuple, p: jax.Array, g: jax.Array, first: jax.Array, second: jax.Array):
        if is_matrix(path):
            first = MOMENTUM * first + g
            direction = orthogonal(g + MOMENTUM * first)
            scale = max(1.0, p.shape[1] / p.shape[0]) ** 0.5
            return p * (1 - matrix_rate * WEIGHT_DECAY) - matrix_rate * scale * direction, first, second
        first = BETA1 * first + (1 - BETA1) * g
        second = BETA2 * second + (1 - BETA2) * g * g
        direction = (first / (1 - BETA1**t)) / (jnp.sqrt(second / (1 - BETA2**t)) + EPSILON)
        return p - vector_rate * direction, first, second

    out = jax.tree_util.tree_map_with_path(one, params, grads, state.first, state.second)
    pick = lambda i: jax.tree.map(lambda triple: triple[i], out, is_leaf=lambda x: isinstance(x, tuple))
    return pick(0), State(pick(1), pick(2)), norm
