"""Model and training configuration, read from config.json."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ModelConfig:
    """A llama-architecture decoder with tied embeddings and one exit."""

    vocabulary: int
    width: int
    layers: int
    exit_layer: int  # the exit reads the state after this many layers
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int
    context: int
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5
    adapter: bool = False  # one more layer between the exit's state and the shared norm and head


@dataclass(frozen=True)
class Objective:
    """What is minimised: CE(final) + exit_weight * [(1 - distil) CE(exit) + distil KL(final || exit)] + back KL(exit || final).

    The teacher of each KL term is detached.
    """

    exit_weight: float = 0.0
    distil: float = 0.0
    back: float = 0.0  # two-way distillation: pulls the final distribution towards the exit's
    average: bool = False  # the model's output is the mean of exit and final logits
    layer_dropout: float = 0.0  # LayerSkip (2404.16710 section 4.1): rate at the last layer, growing exponentially


@dataclass(frozen=True)
class TrainConfig:
    batch_tokens: int  # tokens per optimiser step
    micro_rows: int  # rows computed at once; the rest is accumulated
    sequence: int
    steps: int
    warmup: int
    decay: int  # the last so many steps: linear to zero (warm-up, constant, decay)
    decay_sequence: int  # row length while decaying
    matrix_rate: float  # Muon, for the layers' matrices
    vector_rate: float  # Adam, for embedding and norms
    products: str = "float32"  # what matrix products are computed in, see model.KERNELS; parameters are float32
    fim_rate: float = 0.5
    most_characters: dict[str, int] = dataclasses.field(default_factory=dict)  # by language; others are taken whole
    seed: int = 0


@dataclass(frozen=True)
class Config:
    name: str
    model: ModelConfig
    objective: Objective
    train: TrainConfig

    def to_json(self) -> dict:
        return dataclasses.asdict(self)


def load(name: str, path: Path = HERE / "config.json") -> Config:
    """The named configuration; a configuration may name another as its `base` and override parts of it."""
    return _build(name, _resolve(name, json.loads(path.read_text())))


def from_json(data: dict) -> Config:
    return _build(data["name"], data)


def _resolve(name: str, table: dict) -> dict:
    own = dict(table[name])
    base = own.pop("base", None)
    parent = _resolve(base, table) if base else {}
    return {part: {**parent.get(part, {}), **own.get(part, {})} for part in ("model", "objective", "train")}


def _build(name: str, data: dict) -> Config:
    return Config(name, ModelConfig(**data["model"]), Objective(**data["objective"]), TrainConfig(**data["train"]))
