"""Documents -> one long array of token ids, half of the documents rewritten as fill-in-the-middle examples.

    python -m prelude.data --work DIR

FIM layouts (Bavarian et al. 2022), one of two at random:
    PSM  <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <|endoftext|>
    SPM  <|fim_suffix|> suffix <|fim_prefix|> prefix <|fim_middle|> middle <|endoftext|>
SPM suits an editor: while the user types, the prompt only grows, but for the last token. The three parts are
tokenised apart, as a server does it.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Iterator

import numpy as np
from tokenizers import Tokenizer

from . import config, corpus, paths
from .tokenizer import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, load

# Characters of one FIM example; the upper end is about one training row of 512 tokens.
PIECE_CHARS = (250, 1600)


def choose_middle(text: str, rng: random.Random) -> tuple[int, int]:
    """[start, end) of the part to fill: mostly from a cursor to the end of its line, as an editor asks for it."""
    kind = rng.random()
    start = rng.randrange(len(text))
    if kind < 0.25:
        return start, min(len(text), start + rng.randrange(1, 200))
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    if rng.random() < 0.5:  # at the first character of a statement
        indent = len(text[line_start:line_end]) - len(text[line_start:line_end].lstrip())
        start = line_start + indent
    if kind < 0.5:
        for _ in range(rng.randrange(1, 5)):
            following = text.find("\n", line_end + 1)
            line_end = following if following >= 0 else len(text)
    return start, line_end


def pieces(text: str, rng: random.Random) -> Iterator[str]:
    """Cuts a document at line ends into parts that fit one training row."""
    at = 0
    while at < len(text):
        size = int(PIECE_CHARS[0] * (PIECE_CHARS[1] / PIECE_CHARS[0]) ** rng.random())
        end = text.find("\n", at + size)
        end = len(text) if end < 0 else end + 1
        yield text[at:end]
        at = end


def encode_documents(tokenizer: Tokenizer, texts: list[str], fim_rate: float, seed: int) -> np.ndarray:
    """Token ids of all documents in a seeded order, uint16."""
    rng = random.Random(seed)
    texts = list(texts)
    rng.shuffle(texts)
    end, prefix, suffix, middle = (tokenizer.token_to_id(t) for t in (END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE))
    # First the strings with the special id that precedes each, then one batch call of the tokeniser.
    plan: list[tuple[int | None, str]] = []
    for text in texts:
        if rng.random() >= fim_rate:
            plan.append((end, text))
            continue
        for piece in pieces(text, rng):
            a, b = choose_middle(piece, rng)
            parts = [(prefix, piece[:a]), (suffix, piece[b:])]
            if rng.random() < 0.5:
                parts.reverse()
            # An example starts after an END, which also ends the one before.
            plan += [(end, ""), *parts, (middle, piece[a:b])]
    out: list[np.ndarray] = []
    for start in range(0, len(plan), 20_000):
        chunk = plan[start:start + 20_000]
        for (before, _), encoding in zip(chunk, tokenizer.encode_batch([text for _, text in chunk])):
            out.append(np.array([before, *encoding.ids], dtype=np.uint16))
    return np.concatenate(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--config", default="nano")
    args = parser.parse_args()
    train = config.load(args.config).train
    texts = [d["text"] for d in corpus.documents(args.work, "train")]
    ids = encode_documents(load(args.work), texts, train.fim_rate, train.seed)
    with paths.atomic(args.work / "train.u16", "wb") as out:
        ids.tofile(out)
    print(f"{ids.size / 1e6:.2f} M tokens from {sum(map(len, texts)) / 1e6:.1f} M characters")


def batches(work: Path, seed: int) -> "Batches":
    return Batches(np.memmap(work / "train.u16", dtype=np.uint16, mode="r"), seed)


class Batches:
    """Rows for each step as a pure function of the step, so that a resumed run sees what an uninterrupted one would.

    Rows are cut from the array at multiples of their length and visited in a seeded order per epoch.
    """

    def __init__(self, ids: np.ndarray, seed: int) -> None:
        self._ids = ids
        self._seed = seed
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def rows(self, first_token: int, tokens: int, sequence: int) -> np.ndarray:
        """[tokens / sequence, sequence + 1] int32: the rows that begin at training position first_token."""
        per_epoch = (self._ids.size - 1) // sequence
        out = []
        for position in range(first_token // sequence, (first_token + tokens) // sequence):
            epoch, index = divmod(position, per_epoch)
            start = int(self._order(epoch, sequence, per_epoch)[index]) * sequence
            out.append(self._ids[start:start + sequence + 1].astype(np.int32))
        return np.stack(out)

    def _order(self, epoch: int, sequence: int, count: int) -> np.ndarray:
        if (epoch, sequence) not in self._orders:
            self._orders = {(epoch, sequence): np.random.default_rng([self._seed, epoch, sequence]).permutation(count)}
        return self._orders[epoch, sequence]


if __name__ == "__main__":
    main()
