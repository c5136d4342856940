"""The training loss over exit and final logits, with its gradient in closed form.

The loss ends the graph, so its gradient with respect to the logits needs only the two softmaxes; writing it
out saves the passes over [tokens, vocabulary] arrays that automatic differentiation would add.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .config import ModelConfig, Objective
from .model import Params, forward, logits


class Metrics(NamedTuple):
    """Sums over tokens (nats, counts)."""

    final_loss: jax.Array
    exit_loss: jax.Array
    agreement: jax.Array
    correct: jax.Array


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def loss_of_logits(final: jax.Array, exit: jax.Array, targets: jax.Array, o: Objective) -> tuple[jax.Array, Metrics]:
    """Sum over tokens of the objective. final, exit: [tokens, vocabulary]; targets: [tokens]."""
    return _loss_and_gradient(final, exit, targets, o)[0]


def _log_softmax(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(log probabilities, probabilities, which entries are the largest), with one exponential per entry."""
    shifted = x - x.max(axis=-1, keepdims=True)
    e = jnp.exp(shifted)
    total = e.sum(axis=-1, keepdims=True)
    return shifted - jnp.log(total), e / total, shifted == 0


def _loss_and_gradient(final: jax.Array, exit: jax.Array, targets: jax.Array, o: Objective):
    if o.average:
        final = 0.5 * (final + exit)
    log_f, p_f, top_f = _log_softmax(final)
    is_target = jnp.arange(final.shape[-1]) == targets[:, None]
    y = is_target.astype(final.dtype)
    loss_f = -jnp.where(is_target, log_f, 0).sum()
    d_final = p_f - y
    right = (top_f & is_target).any(-1).sum()
    if not o.exit_weight:
        metrics = Metrics(loss_f, loss_f, jnp.int32(targets.size), right)
        return (loss_f, metrics), (d_final, jnp.zeros_like(exit))
    log_e, p_e, top_e = _log_softmax(exit)
    loss_e = -jnp.where(is_target, log_e, 0).sum()
    apart = log_f - log_e
    total = loss_f + o.exit_weight * ((1 - o.distil) * loss_e + o.distil * (p_f * apart).sum()) - o.back * (p_e * apart).sum()
    d_exit = o.exit_weight * (p_e - (1 - o.distil) * y - o.distil * p_f)
    d_final = d_final + o.back * (p_f - p_e)
    if o.average:
        d_final, d_exit = 0.5 * d_final, d_exit + 0.5 * d_final
    return (total, Metrics(loss_f, loss_e, (top_f & top_e).any(-1).sum(), right)), (d_final, d_exit)


def _backward(o: Objective, gradient: tuple[jax.Array, jax.Array], cotangents):
    d_final, d_exit = gradient
    return cotangents[0] * d_final, cotangents[0] * d_exit, None


loss_of_logits.defvjp(_loss_and_gradient, _backward)


def skip_schedule(layers: int, rate: float) -> jax.Array:
    """Probability of skipping each layer: exponential from 0 at the first to `rate` at the last."""
    return rate * (2 ** (jnp.arange(layers) / (layers - 1)) - 1)


def loss(params: Params, rows: jax.Array, key: jax.Array, c: ModelConfig, o: Objective,
         dtype: str) -> tuple[jax.Array, Metrics]:
    """Sum over the rows' tokens. rows: [rows, tokens + 1]; each token but the first of a row is predicted."""
    keep = None
    if o.layer_dropout:
        drop = skip_schedule(c.layers, o.layer_dropout)[:, None]
        keep = (jax.random.uniform(key, (c.layers, rows.shape[0])) >= drop).astype(jnp.float32)
    states = forward(params, rows[:, :-1], c, keep, dtype)
    final = logits(params, states.final, c, dtype).reshape(-1, c.vocabulary)
    exit = logits(params, states.exit, c, dtype).reshape(-1, c.vocabulary) if o.exit_weight else jnp.zeros((1, 1))
    return loss_of_logits(final, exit, rows[:, 1:].reshape(-1), o)
