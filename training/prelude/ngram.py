"""The baseline every language model must beat: interpolated n-gram counts (Witten and Bell), on the same tokens.

    python -m prelude.ngram --work DIR --run NAME [--whole]

Writes RUN/baselines.json. --whole adds the 5-gram on the whole corpus, not only on what the run has seen (minutes,
some GB).

p_n(w | c) = (count(c, w) + kinds(c) * p_(n-1)(w | shorter c)) / (count(c) + kinds(c)), where kinds(c) is the
number of different continuations of c; p_0 is uniform. Unigram is n = 1. Counts live in sorted arrays of
64-bit hashes, so 50 M tokens fit in memory.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import corpus, evaluate, paths
from .config import Config
from .rows import Batches, load_rows
from .tokenizer import load
from .train import load_params

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Order(NamedTuple):
    """Counts of one context length."""

    grams: np.ndarray  # sorted hashes of context + word
    gram_counts: np.ndarray
    contexts: np.ndarray  # sorted hashes of contexts
    context_counts: np.ndarray
    kinds: np.ndarray
    best: np.ndarray  # most frequent continuation


def _context_hash(ids: np.ndarray, length: int) -> np.ndarray:
    """Hash of the `length` ids before each position from `length` on."""
    size = ids.size - length
    value = np.full(size, length + 1, dtype=np.uint64)
    for offset in range(length):
        value = (value ^ ids[offset:offset + size].astype(np.uint64)) * _MULTIPLIER
        value ^= value >> np.uint64(29)
    return value


def _gram_hash(context: np.ndarray, words: np.ndarray) -> np.ndarray:
    return (context ^ (words.astype(np.uint64) + np.uint64(1))) * _MULTIPLIER


def _count(ids: np.ndarray, length: int) -> Order:
    context, words = _context_hash(ids, length), ids[length:]
    grams, first, counts = np.unique(_gram_hash(context, words), return_index=True, return_counts=True)
    of_gram, word_of_gram = context[first], words[first]
    order = np.lexsort((counts, of_gram))  # per context, the most frequent continuation last
    contexts, starts, kinds = np.unique(of_gram[order], return_index=True, return_counts=True)
    totals = np.add.reduceat(counts[order], starts)
    return Order(grams, counts, contexts, totals, kinds, word_of_gram[order][starts + kinds - 1])


def _find(sorted_keys: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    index = np.minimum(np.searchsorted(sorted_keys, keys), sorted_keys.size - 1)
    return index, sorted_keys[index] == keys


class NGram:
    def __init__(self, ids: np.ndarray, n: int, vocabulary: int) -> None:
        self.n, self.vocabulary = n, vocabulary
        self._orders = [_count(ids, length) for length in range(n)]

    def score(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(probability of each token but the first, the model's own guess there)."""
        words = ids[1:]
        probability = np.full(words.size, 1.0 / self.vocabulary)
        guess = np.zeros(words.size, dtype=np.int64)
        for length, order in enumerate(self._orders):
            skip = max(0, length - 1)  # the first positions have no context this long
            context = _context_hash(ids, length) if length else _context_hash(ids, 0)[1:]
            at, known = _find(order.contexts, context)
            total, kinds = order.context_counts[at] * known, order.kinds[at] * known
            gram, seen = _find(order.grams, _gram_hash(context, ids[max(1, length):]))
            count = order.gram_counts[gram] * seen
            lower = probability[skip:]
            probability[skip:] = np.where(known, (count + kinds * lower) / np.maximum(total + kinds, 1), lower)
            guess[skip:] = np.where(known, order.best[at], guess[skip:])
        return probability, guess


def baselines(work: Path, c: Config, seen_tokens: int, kilobytes: int = 150, whole: bool = False) -> dict:
    """Unigram and 5-gram on as many tokens as the run was trained on, on the test text of prelude.evaluate."""
    documents = evaluate.sample(corpus.documents(work, "test"), kilobytes)
    encoded = evaluate.encode(load(work), documents)
    seen = Batches(partial(load_rows, work), c.train.seed).rows(0, seen_tokens, c.train.sequence)[:, :-1].reshape(-1)
    models = [("unigram", seen, 1), ("5-gram", seen, 5)]
    if whole:
        models.append(("5-gram, whole corpus", load_rows(work, c.train.sequence).reshape(-1), 5))
    out = {}
    for name, ids, n in models:
        model = NGram(ids.astype(np.int64), n, c.model.vocabulary)
        scored = [model.score(document) for document in encoded]
        right = np.concatenate([guess == document[1:] for (_, guess), document in zip(scored, encoded)])
        out[name] = {"tokens": int(ids.size), "top1": float(right.mean()),
                     "bits_per_byte": evaluate.bits_per_byte(np.concatenate([np.log(p) for p, _ in scored]), documents)}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", default="nano")
    parser.add_argument("--kilobytes", type=int, default=150, help="test text per language, as for prelude.evaluate")
    parser.add_argument("--whole", action="store_true")
    args = parser.parse_args()
    run = args.work / "runs" / args.run
    c, _, saved = load_params(run / "checkpoint.pkl")
    report = baselines(args.work, c, saved["tokens"], args.kilobytes, args.whole)
    with paths.atomic(run / "baselines.json") as out:
        out.write(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
