"""The baseline every language model must beat: interpolated n-gram counts (Witten and Bell), on the same tokens.

p_n(w | c) = (count(c, w) + kinds(c) * p_(n-1)(w | shorter c)) / (count(c) + kinds(c)), where kinds(c) is the
number of different continuations of c; p_0 is uniform. Unigram is n = 1. Counts live in sorted arrays of
64-bit hashes, so 50 M tokens fit in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
