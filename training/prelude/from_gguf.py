"""A published Prelude file -> a run that can be measured: beside a new model, on the same text.

    python -m prelude.from_gguf --gguf ../models/prelude-nano/prelude-nano.Q8_0.gguf --work DIR --run nano

DIR gets the file's own tokeniser and takes the corpus of another work folder (--corpus), so that
`prelude.evaluate --work DIR --run nano` measures the model as it is published, in Q8_0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer, models

from . import memory, optimiser, paths, tokenizer
from .config import Config, ModelConfig, Objective, TrainConfig
from .export import MATRICES, VECTORS
from .model import Layer, Params
from .train import save


def read(path: Path) -> tuple[Config, Params, Tokenizer]:
    reader = gguf.GGUFReader(path)
    field = lambda name: reader.get_field(name).contents()
    number = lambda name: field(f"llama.{name}")
    tensors = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    has_layer = field("incipit.exit.kind") == "layer"
    c = ModelConfig(
        vocabulary=number("vocab_size"), width=number("embedding_length"), layers=number("block_count"), exit_layer=field("incipit.exit.layer"),
        heads=number("attention.head_count"), kv_heads=number("attention.head_count_kv"), head_size=number("attention.key_length"),
        feed_forward=number("feed_forward_length"), context=number("context_length"), rope_base=number("rope.freq_base"),
        norm_epsilon=float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"), adapter=has_layer)

    def exit_weights(name: str) -> np.ndarray:
        data = np.array(field(f"incipit.exit.weights.{name}"), dtype=np.uint8)
        shape = tensors[f"blk.0.{name}"].shape
        if data.size == 4 * np.prod(shape):
            return data.view(np.float32).reshape(shape)
        return gguf.quants.dequantize(data.reshape(shape[0], -1), gguf.GGMLQuantizationType.Q8_0)

    def layer(get) -> Layer:
        return {ours: jnp.asarray(get(f"{theirs}.weight").T) for ours, theirs in MATRICES.items()} | \
            {ours: jnp.asarray(get(f"{theirs}.weight")) for ours, theirs in VECTORS.items()}

    params = {"embedding": jnp.asarray(tensors["token_embd.weight"]), "norm": jnp.asarray(tensors["output_norm.weight"]),
              "layers": [layer(lambda name: tensors[f"blk.{i}.{name}"]) for i in range(c.layers)]}
    if has_layer:
        params["adapter"] = layer(exit_weights)
    trained = TrainConfig(batch_tokens=0, micro_rows=0, sequence=0, steps=0, warmup=0, decay=0, decay_sequence=0, matrix_rate=0, vector_rate=0)
    return Config(path.stem, c, Objective(), trained), params, _tokenizer(field("tokenizer.ggml.tokens"), field("tokenizer.ggml.merges"))


def _tokenizer(tokens: list[str], merges: list[str]) -> Tokenizer:
    built = tokenizer.with_splits(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(pair.split(" ")) for pair in merges]))
    built.add_special_tokens(tokenizer.SPECIAL)
    return built


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="a folder of its own: it gets the file's tokeniser")
    parser.add_argument("--corpus", type=Path, default=paths.default_work(), help="work folder whose corpus it is measured on")
    parser.add_argument("--run", default="nano")
    args = parser.parse_args()
    memory.keep()
    c, params, trained = read(args.gguf)
    run = args.work / "runs" / args.run
    run.mkdir(parents=True, exist_ok=True)
    save(run / "checkpoint.pkl", c, 0, 0, 0, params, optimiser.init(params))
    trained.save(str(args.work / "tokenizer.json"))
    if not (args.work / "corpus").exists():
        (args.work / "corpus").symlink_to((args.corpus / "corpus").resolve())
    print(f"{run / 'checkpoint.pkl'}: {c.name}")


if __name__ == "__main__":
    main()
