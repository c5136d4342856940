"""The model: pre-norm decoder, RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embeddings.

It computes what llama.cpp computes for architecture `llama`; matrices are stored [inputs, outputs].
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from .config import ModelConfig

Params = dict
Layer = dict

# `dtype` of the functions below says what products are computed in. float32 and bfloat16 are the type of their operands,
# everything else being float32: for CPUs. The names of attention kernels stand for accelerators: states and all operands
# are bfloat16, attention is that one call, and the layers are one loop, which compiles in a fraction of the time.
KERNELS = ("cudnn", "xla")


class States(NamedTuple):
    """Residual stream before the final norm, [rows, tokens, width]."""

    exit: jax.Array
    final: jax.Array


def init_layer(key: jax.Array, c: ModelConfig, residual_scale: float) -> Layer:
    keys = jax.random.split(key, 7)
    q, kv = c.heads * c.head_size, c.kv_heads * c.head_size

    def matrix(key: jax.Array, inputs: int, outputs: int, scale: float = 1.0) -> jax.Array:
        return jax.random.normal(key, (inputs, outputs)) * (scale / math.sqrt(inputs))

    return {
        "attn_norm": jnp.ones(c.width),
        "wq": matrix(keys[0], c.width, q),
        "wk": matrix(keys[1], c.width, kv),
        "wv": matrix(keys[2], c.width, kv),
        "wo": matrix(keys[3], q, c.width, residual_scale),
        "ffn_norm": jnp.ones(c.width),
        "gate": matrix(keys[4], c.width, c.feed_forward),
        "up": matrix(keys[5], c.width, c.feed_forward),
        "down": matrix(keys[6], c.feed_forward, c.width, residual_scale),
    }


def init(key: jax.Array, c: ModelConfig) -> Params:
    keys = jax.random.split(key, c.layers + 2)
    scale = 0.0  # every layer starts as the identity, so embedding and exit are useful from the first step
    params = {
        "embedding": jax.random.normal(keys[0], (c.vocabulary, c.width)) * 0.05,
        "norm": jnp.ones(c.width),
        "layers": [init_layer(k, c, scale) for k in keys[2:]],
    }
    if c.adapter:
        params["adapter"] = init_layer(keys[1], c, scale)
    return params


def parameter_count(params: Params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def rows_first(x: jax.Array) -> jax.Array:
    """x laid out row by row in memory: XLA's fast bfloat16 product on CPUs takes no transposed operand."""
    if jax.default_backend() != "cpu":
        return x
    return with_layout_constraint(x, Layout(tuple(range(x.ndim))))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul(a: jax.Array, b: jax.Array, dtype: str) -> jax.Array:
    """a @ b with operands rounded to `dtype` and float32 sums, forwards and backwards; leading axes of both are equal."""
    return _matmul_forward(a, b, dtype)[0]


def _matmul_forward(a: jax.Array, b: jax.Array, dtype: str):
    a, b = rows_first(a.astype(dtype)), rows_first(b.astype(dtype))
    return rows_first(jnp.matmul(a, b, preferred_element_type=jnp.float32)), (a, b)


def _matmul_backward(dtype: str, operands: tuple[jax.Array, jax.Array], gradient: jax.Array):
    a, b = operands
    return _matmul_forward(gradient, b.mT, dtype)[0], _matmul_forward(a.mT, gradient, dtype)[0]


matmul.defvjp(_matmul_forward, _matmul_backward)


def project(x: jax.Array, weights: jax.Array, dtype: str) -> jax.Array:
    """x @ weights. x: [..., inputs], weights: [inputs, outputs]."""
    if dtype in KERNELS:
        return x @ weights.astype(x.dtype)
    return matmul(x.reshape(-1, x.shape[-1]), weights, dtype).reshape(*x.shape[:-1], weights.shape[-1])


# What these keep for the gradient is their input alone: elsewhere than in a cache, computing is faster than fetching.
_keep_inputs = partial(jax.checkpoint, prevent_cse=False)


@partial(_keep_inputs, static_argnums=(2,))
def rms_norm(x: jax.Array, gain: jax.Array, epsilon: float) -> jax.Array:
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + epsilon) * gain).astype(x.dtype)


@_keep_inputs
def gated(gate: jax.Array, up: jax.Array) -> jax.Array:
    return jax.nn.silu(gate) * up


def rotary_table(tokens: int, c: ModelConfig) -> tuple[jax.Array, jax.Array]:
    """cos and sin of position * base^(-2i/d), each [tokens, 1, head_size / 2]."""
    frequency = c.rope_base ** (-jnp.arange(0, c.head_size, 2) / c.head_size)
    angle = (jnp.arange(tokens)[:, None] * frequency)[:, None, :]
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x: jax.Array, table: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotates neighbouring pairs (2i, 2i+1), as llama.cpp does for architecture llama. x: [rows, tokens, heads, size]."""
    cos, sin = table
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    even, odd = pairs[..., 0], pairs[..., 1]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape).astype(x.dtype)


# Queries are taken in blocks, each against the keys up to its end: half of a causal square is never computed.
QUERY_BLOCK = 128


def attention(q: jax.Array, k: jax.Array, v: jax.Array, dtype: str) -> jax.Array:
    """Causal attention. q: [rows, tokens, heads, size]; k, v: [rows, tokens, kv_heads, size]."""
    rows, tokens, heads, size = q.shape
    if dtype in KERNELS:
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation=dtype).reshape(rows, tokens, heads * size)
    kv_heads = k.shape[2]
    group = heads // kv_heads
    q = q.reshape(rows, tokens, kv_heads, group, size).transpose(0, 2, 3, 1, 4) * (1 / math.sqrt(size))
    k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    outputs = []
    for start in range(0, tokens, QUERY_BLOCK):
        end = min(start + QUERY_BLOCK, tokens)
        block = q[:, :, :, start:end].reshape(rows, kv_heads, group * (end - start), size)
        scores = matmul(block, k[:, :, :end].mT, dtype).reshape(rows, kv_heads, group, end - start, end)
        visible = jnp.arange(end) <= jnp.arange(start, end)[:, None]
        weights = jax.nn.softmax(jnp.where(visible, scores, -1e30), axis=-1)
        mixed = matmul(weights.reshape(rows, kv_heads, -1, end), v[:, :, :end], dtype)
        outputs.append(mixed.reshape(rows, kv_heads, group, end - start, size))
    joined = jnp.concatenate(outputs, axis=3) if len(outputs) > 1 else outputs[0]
    return joined.transpose(0, 3, 1, 2, 4).reshape(rows, tokens, heads * size)


def apply_layer(layer: Layer, x: jax.Array, table: tuple[jax.Array, jax.Array], c: ModelConfig,
                keep: jax.Array | float = 1.0, dtype: str = "float32") -> jax.Array:
    """One decoder layer. keep: 0 where the layer is skipped (layer dropout), [rows, 1, 1] or 1."""
    rows, tokens, _ = x.shape
    h = rms_norm(x, layer["attn_norm"], c.norm_epsilon)
    q = rotate(project(h, layer["wq"], dtype).reshape(rows, tokens, c.heads, c.head_size), table)
    k = rotate(project(h, layer["wk"], dtype).reshape(rows, tokens, c.kv_heads, c.head_size), table)
    v = project(h, layer["wv"], dtype).reshape(rows, tokens, c.kv_heads, c.head_size)
    x = x + keep * project(attention(q, k, v, dtype), layer["wo"], dtype)
    h = rms_norm(x, layer["ffn_norm"], c.norm_epsilon)
    return x + keep * project(gated(project(h, layer["gate"], dtype), project(h, layer["up"], dtype)), layer["down"], dtype)


def forward(params: Params, tokens: jax.Array, c: ModelConfig, keep: jax.Array | None = None,
            dtype: str = "float32") -> States:
    """States at exit and end. tokens: [rows, tokens] int; keep: [layers, rows] for layer dropout; dtype: of the products."""
    x = params["embedding"][tokens]
    table = rotary_table(tokens.shape[1], c)
    if dtype in KERNELS:
        if keep is not None:
            raise ValueError("layer dropout is not implemented for accelerators")
        return _forward_in_loops(params, x.astype(jnp.bfloat16), table, c, dtype)
    at_exit = x
    for index, layer in enumerate(params["layers"]):
        x = apply_layer(layer, x, table, c, 1.0 if keep is None else keep[index][:, None, None], dtype)
        if index + 1 == c.exit_layer:
            at_exit = apply_layer(params["adapter"], x, table, c, dtype=dtype) if "adapter" in params else x
    return States(at_exit, x)


def _forward_in_loops(params: Params, x: jax.Array, table: tuple[jax.Array, jax.Array], c: ModelConfig, dtype: str) -> States:
    stacked = jax.tree.map(lambda *layers: jnp.stack(layers), *params["layers"])

    def through(x: jax.Array, first: int, last: int) -> jax.Array:
        layers = jax.tree.map(lambda values: values[first:last], stacked)
        return jax.lax.scan(lambda x, layer: (apply_layer(layer, x, table, c, dtype=dtype), None), x, layers)[0]

    below = through(x, 0, c.exit_layer)
    at_exit = apply_layer(params["adapter"], below, table, c, dtype=dtype) if "adapter" in params else below
    return States(at_exit, through(below, c.exit_layer, c.layers))


def logits(params: Params, state: jax.Array, c: ModelConfig, dtype: str = "float32") -> jax.Array:
    """float32 in any case: the loss compares probabilities."""
    operands = "bfloat16" if dtype in KERNELS else dtype
    return project(rms_norm(state, params["norm"], c.norm_epsilon).astype(jnp.float32), params["embedding"].T, operands)
