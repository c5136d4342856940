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
    return _forward(final, exit, targets, o)[0]


def _forward(final: jax.Array, exit: jax.Array, targets: jax.Array, o: Objective):
    if o.average:
        final = 0.5 * (final + exit)
    log_f = final - jax.nn.logsumexp(final, axis=-1, keepdims=True)
    log_e = exit - jax.nn.logsumexp(exit, axis=-1, keepdims=True)
    loss_f = -jnp.take_along_axis(log_f, targets[:, None], axis=-1).sum()
    loss_e = -jnp.take_along_axis(log_e, targets[:, None], axis=-1).sum()
    total = loss_f + o.exit_weight * (1 - o.distil) * loss_e
    if o.exit_weight * o.distil:
        total += o.exit_weight * o.distil * (jnp.exp(log_f) * (log_f - log_e)).sum()
    if o.back:
        total += o.back * (jnp.exp(log_e) * (log_e - log_f)).sum()
    top_f = final >= final.max(axis=-1, keepdims=True)
    top_e = exit >= exit.max(axis=-1, keepdims=True)
    is_target = jnp.arange(final.shape[-1]) == targets[:, None]
    metrics = Metrics(loss_f, loss_e, (top_f & top_e).any(-1).sum(), (top_f & is_target).any(-1).sum())
    return (total, metrics), (log_f, log_e, targets)


def _backward(o: Objective, residuals, cotangents):
    log_f, log_e, targets = residuals
    p_f, p_e = jnp.exp(log_f), jnp.exp(log_e)
    y = (jnp.arange(log_f.shape[-1]) == targets[:, None]).astype(log_f.dtype)
    d_final = p_f - y
    d_exit = o.exit_weight * (p_e - (1 - o.distil) * y - o.distil * p_f)
    if o.back:
        d_final = d_final + o.back * (p_f - p_e)
    if o.average:
        d_final, d_exit = 0.5 * d_final, d_exit + 0.5 * d_final
    scale = cotangents[0]
    return scale * d_final, scale * d_exit, None


loss_of_logits.defvjp(lambda final, exit, targets, o: _forward(final, exit, targets, o), _backward)


def skip_schedule(layers: int, rate: float) -> jax.Array:
    """Probability of skipping each layer: exponential from 0 at the first to `rate` at the last."""
    return rate * (2 ** (jnp.arange(layers) / (layers - 1)) - 1)


def loss(params: Params, rows: jax.Array, key: jax.Array, c: ModelConfig, o: Objective) -> tuple[jax.Array, Metrics]:
    """Sum over the rows' tokens. rows: [rows, tokens + 1]; each token but the first of a row is predicted."""
    keep = None
    if o.layer_dropout:
        drop = skip_schedule(c.layers, o.layer_dropout)[:, None]
        keep = (jax.random.uniform(key, (c.layers, rows.shape[0])) >= drop).astype(jnp.float32)
    states = forward(params, rows[:, :-1], c, keep)
    final = logits(params, states.final, c).reshape(-1, c.vocabulary)
    exit = logits(params, states.exit, c).reshape(-1, c.vocabulary) if o.exit_weight else jax.lax.stop_gradient(final)
    return loss_of_logits(final, exit, rows[:, 1:].reshape(-1), o)
