"""The tokenizer of a GGUF file as a folder that `transformers` reads: byte-pair encodings, and SentencePiece ones."""

import os

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

NORMAL, BYTE = 1, 6


def write_tokenizer(path: str, folder: str) -> None:
    fields = GGUFReader(path).fields
    value = lambda key: fields[f"tokenizer.ggml.{key}"].contents() if f"tokenizer.ggml.{key}" in fields else None
    tokens, types = value("tokens"), value("token_type")
    if value("model") == "gpt2":
        vocabulary = {token: id for id, token in enumerate(tokens)}
        merges = [tuple(merge.split(" ")) for merge in value("merges")]
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        scores = [(token, score) for token, score in zip(tokens, value("scores"))]
        tokenizer = Tokenizer(models.Unigram(scores, unk_id=value("unknown_token_id") or 0, byte_fallback=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    special = [token for token, type in zip(tokens, types) if type not in (NORMAL, BYTE)]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    name = lambda key: None if value(key) is None else tokens[value(key)]
    end = name("eos_token_id")
    os.makedirs(folder, exist_ok=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=name("bos_token_id"), eos_token=end, pad_token=end
    ).save_pretrained(folder)
