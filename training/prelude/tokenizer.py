"""Byte-level BPE whose pre-tokenizer llama.cpp reproduces exactly (`tokenizer.ggml.pre`).

    python -m prelude.tokenizer --work DIR --config nano
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import config, corpus, paths

END = "<|endoftext|>"
FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
SPECIAL = [END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE]  # ids 0..3

# llama.cpp v0.5.0, src/llama-vocab.cpp: the expressions behind the names in tokenizer.ggml.pre.
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PRE_TOKENIZERS = {
    "gpt-2": [_GPT2],
    "starcoder": [r"\p{N}", _GPT2],
    "qwen2": [r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
}
PRE = "qwen2"  # chosen by measurement, see README.md
TRAINING_CHARS = 40_000_000  # a sample of the corpus is enough for a few thousand merges


def with_splits(model: models.BPE, pre: str = PRE) -> Tokenizer:
    """A tokeniser of this model's merges; what is written in a source file is ordinary text, also "<|endoftext|>"."""
    tokenizer = Tokenizer(model)
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PRE_TOKENIZERS[pre]]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.encode_special_tokens = True
    return tokenizer


def build(texts: list[str], vocabulary: int, pre: str = PRE) -> Tokenizer:
    tokenizer = with_splits(models.BPE(), pre)
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=32)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load(work: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--config", default="nano")
    parser.add_argument("--compare", action="store_true", help="only print bytes per token of each choice on the test split")
    args = parser.parse_args()
    documents = corpus.documents(args.work, "train")
    random.Random(0).shuffle(documents)
    texts, chars = [], 0
    for document in documents:
        texts.append(document["text"])
        chars += len(document["text"])
        if chars > TRAINING_CHARS:
            break
    if args.compare:
        held_out = [d["text"] for d in corpus.documents(args.work, "test")]
        size = sum(len(t.encode()) for t in held_out)
        for pre in PRE_TOKENIZERS:
            for vocabulary in (4096, 8192, 16_384):
                tokenizer = build(texts, vocabulary, pre)
                count = sum(len(e.ids) for e in tokenizer.encode_batch(held_out))
                print(f"{pre:10} {vocabulary:6} {size / count:.3f} bytes per token", flush=True)
        return
    tokenizer = build(texts, config.load(args.config).model.vocabulary)
    with paths.atomic(args.work / "tokenizer.json") as out:
        out.write(tokenizer.to_str())
    print(f"{tokenizer.get_vocab_size()} tokens -> {args.work / 'tokenizer.json'}")


if __name__ == "__main__":
    main()
