"""Checkpoint -> GGUF (F32 and Q8_0), proved against llama.cpp.

    python -m prelude.export --work DIR --run NAME --out DIR [--llama DIR_WITH_LIBLLAMA]

Run prelude.evaluate before: its calibration of the exit goes into the file's metadata.
With --llama: the F32 file must give the training framework's logits within 1e-2 and its tokeniser the same ids
on held-out text, otherwise the command fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import gguf
import jax
import numpy as np
from tokenizers import Tokenizer

from . import corpus, paths
from .config import Config
from .model import Layer, Params, forward, logits
from .tokenizer import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, PRE, SPECIAL, load
from .train import load_params

Q8_0, F32 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.F32
MATRICES = {"wq": "attn_q", "wk": "attn_k", "wv": "attn_v", "wo": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
VECTORS = {"attn_norm": "attn_norm", "ffn_norm": "ffn_norm"}
LOGIT_TOLERANCE = 1e-2


def write_gguf(path: Path, c: Config, params: Params, tokenizer: Tokenizer, quantised: bool, calibration: dict | None) -> None:
    m = c.model
    writer = gguf.GGUFWriter(path.with_name(path.name + ".part"), "llama")
    writer.add_name(f"Prelude {c.name}")
    writer.add_description("Code completion for TypeScript, JavaScript and Python, trained so that its early layers can speak")
    writer.add_license("mit")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantised else gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(m.context)
    writer.add_embedding_length(m.width)
    writer.add_block_count(m.layers)
    writer.add_feed_forward_length(m.feed_forward)
    writer.add_head_count(m.heads)
    writer.add_head_count_kv(m.kv_heads)
    writer.add_key_length(m.head_size)
    writer.add_value_length(m.head_size)
    writer.add_rope_dimension_count(m.head_size)
    writer.add_rope_freq_base(m.rope_base)
    writer.add_layer_norm_rms_eps(m.norm_epsilon)
    writer.add_vocab_size(m.vocabulary)
    _add_exit(writer, m.exit_layer, calibration)
    _add_tokenizer(writer, tokenizer)

    def stored(value: np.ndarray, matrix: bool) -> np.ndarray:
        value = np.ascontiguousarray(np.asarray(value, dtype=np.float32))
        return gguf.quants.quantize(value, Q8_0) if matrix and quantised else value

    def layer_tensors(layer: Layer) -> dict[str, np.ndarray]:
        matrices = {f"{theirs}.weight": stored(np.asarray(layer[ours]).T, True) for ours, theirs in MATRICES.items()}
        return matrices | {f"{theirs}.weight": stored(layer[ours], False) for ours, theirs in VECTORS.items()}

    def add(tensor: str, value: np.ndarray) -> None:
        writer.add_tensor(tensor, value, raw_dtype=Q8_0 if value.dtype == np.uint8 else F32)

    # llama.cpp refuses tensors that it does not know: the exit's own layer travels in the metadata.
    writer.add_string("incipit.exit.kind", "layer" if "adapter" in params else "identity")
    for tensor, value in layer_tensors(params["adapter"]).items() if "adapter" in params else ():
        writer.add_key_value(f"incipit.exit.weights.{tensor}", value.tobytes(), gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT8)
    add("token_embd.weight", stored(params["embedding"], True))
    for index, layer in enumerate(params["layers"]):
        for tensor, value in layer_tensors(layer).items():
            add(f"blk.{index}.{tensor}", value)
    add("output_norm.weight", stored(params["norm"], False))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.with_name(path.name + ".part").replace(path)


def _add_exit(writer: gguf.GGUFWriter, layer: int, calibration: dict | None) -> None:
    """The keys that packages/engine reads: where the exit is, how often it is right, when to trust it."""
    writer.add_uint32("incipit.exit.layer", layer)
    for group in ("first", "later") if calibration else ():
        writer.add_float32(f"incipit.exit.agreement.{group}", calibration["agreement"][group])
        writer.add_float32(f"incipit.exit.shown.{group}", calibration["shown"][group])
        for name, values in calibration["calibration"][group].items():
            writer.add_array(f"incipit.exit.calibration.{group}.{name}", [float(v) for v in values])


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    special = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE)
    writer.add_token_list(tokens)
    writer.add_token_types(special)
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in merges])
    end = vocabulary[END]
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_add_bos_token(True)
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", vocabulary[FIM_PREFIX])
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", vocabulary[FIM_SUFFIX])
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", vocabulary[FIM_MIDDLE])


def verify(path: Path, llama_folder: Path, c: Config, params: Params, tokenizer: Tokenizer, texts: list[str]) -> dict:
    """Compares a GGUF file with the training framework: largest logit difference, top-1 agreement, token ids."""
    from .llamacpp import LlamaModel, open_library

    largest, agree, tokens, unequal = 0.0, 0, 0, 0
    with LlamaModel(open_library(llama_folder), path) as model:
        special = tuple(tokenizer.token_to_id(t) for t in (FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE))
        if model.fim_tokens() != special:
            raise AssertionError(f"FIM tokens {model.fim_tokens()} in llama.cpp, {special} here")
        for text in texts:
            ours = tokenizer.encode(text).ids
            unequal += ours != model.tokenize(text)
        for text in texts[:8]:
            ids = [tokenizer.token_to_id(END), *tokenizer.encode(text).ids][:256]
            theirs = model.decode(ids, fresh=True, all_logits=True)
            states = forward(params, np.array([ids]), c.model)
            here = np.asarray(logits(params, states.final, c.model))[0]
            largest = max(largest, float(np.abs(here - theirs).max()))
            agree += int((here.argmax(-1) == theirs.argmax(-1)).sum())
            tokens += len(ids)
    return {"largest_logit_difference": largest, "top1_equal": agree / tokens, "tokens": tokens,
            "texts_tokenised": len(texts), "texts_with_other_ids": unequal}


def exit_as_model(c: Config, params: Params) -> tuple[Config, Params]:
    """The exit as a model of its own: the layers below it, its own layer, the shared norm and head."""
    below = params["layers"][:c.model.exit_layer]
    layers = [*below, params["adapter"]] if "adapter" in params else below
    model = dataclasses.replace(c.model, layers=len(layers), adapter=False)
    return dataclasses.replace(c, model=model), {"embedding": params["embedding"], "norm": params["norm"], "layers": layers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", default="nano")
    parser.add_argument("--out", type=Path, help="where the Q8_0 file and calibration.json go (default: the run's folder)")
    parser.add_argument("--llama", type=Path, help="folder with libllama.so of llama.cpp v0.5.0: prove the export")
    args = parser.parse_args()
    run = args.work / "runs" / args.run
    c, params, _ = load_params(run / "checkpoint.pkl")
    export(run, args.out or run, c, params, load(args.work), args.llama, [d["text"] for d in corpus.documents(args.work, "test")])


def export(run: Path, out: Path, c: Config, params: Params, tokenizer: Tokenizer, llama: Path | None, texts: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    stem = f"prelude-{c.name}"
    full, small = run / f"{stem}.F32.gguf", out / f"{stem}.Q8_0.gguf"
    measured = run / "calibration.json"
    calibration = json.loads(measured.read_text()) if measured.exists() else None
    for path, quantised in ((full, False), (small, True)):
        write_gguf(path, c, params, tokenizer, quantised, calibration)
        print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")
    if calibration and out != run:
        shutil.copy(measured, out / f"{stem}.calibration.json")
    if llama is None:
        print("not compared with llama.cpp: no --llama folder given")
        return
    report = {"F32": verify(full, llama, c, params, tokenizer, texts), "Q8_0": verify(small, llama, c, params, tokenizer, texts)}
    exit_c, exit_params = exit_as_model(c, params)
    alone = run / f"{stem}.exit.F32.gguf"
    write_gguf(alone, exit_c, exit_params, tokenizer, False, None)
    report["exit F32"] = verify(alone, llama, exit_c, exit_params, tokenizer, texts[:8])
    print(json.dumps(report, indent=1))
    with paths.atomic(run / "export.json") as file:
        file.write(json.dumps(report, indent=1) + "\n")
    differs = any(report[part]["largest_logit_difference"] > LOGIT_TOLERANCE for part in ("F32", "exit F32"))
    if differs or report["F32"]["texts_with_other_ids"]:
        raise SystemExit("the exported model differs from the trained one")


if __name__ == "__main__":
    main()
