"""Documents -> training rows of token ids, half of the documents rewritten as fill-in-the-middle examples.

    python -m prelude.data --work DIR --config nano

FIM layouts (Bavarian et al. 2022), one of two at random:
    PSM  <|endoftext|> <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <|endoftext|>
    SPM  <|endoftext|> <|fim_suffix|> suffix <|fim_prefix|> prefix <|fim_middle|> middle <|endoftext|>
SPM suits an editor: while the user types, the prompt only grows, but for the last token. The three parts are
tokenised apart, as a server does it.

An example never crosses a row: a row holds whole examples at its end and plain text before them, so that a
middle is always learnt with its prefix and suffix in view. There is one file of rows per row length.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
from tokenizers import Tokenizer

from . import config, corpus, paths
from .tokenizer import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, load

# Characters of one FIM example: at least this many, at most about what a row holds.
SMALLEST_PIECE = 150
CHARS_PER_TOKEN = 2.6  # of dense code; an example that is too long all the same becomes plain text
BATCH = 20_000  # strings given to the tokeniser at once


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


def pieces(text: str, largest: int, rng: random.Random) -> Iterator[str]:
    """Cuts a document at line ends into parts of SMALLEST_PIECE to about `largest` characters."""
    at = 0
    while at < len(text):
        size = int(SMALLEST_PIECE * (largest / SMALLEST_PIECE) ** rng.random())
        end = text.find("\n", at + size)
        end = len(text) if end < 0 else end + 1
        yield text[at:end]
        at = end


def encode_documents(tokenizer: Tokenizer, texts: list[str], sequence: int, fim_rate: float, seed: int) -> np.ndarray:
    """[rows, sequence + 1] token ids of all documents in a seeded order, uint16."""
    rng = random.Random(seed)
    texts = list(texts)
    rng.shuffle(texts)
    plain: list[str] = []
    pieces_to_fill: list[str] = []
    for text in texts:
        if rng.random() < fim_rate:
            pieces_to_fill.extend(pieces(text, max(SMALLEST_PIECE, int(sequence * CHARS_PER_TOKEN)), rng))
        else:
            plain.append(text)
    examples, too_long = _examples(tokenizer, pieces_to_fill, sequence + 1, rng)
    end = tokenizer.token_to_id(END)
    stream = np.concatenate([np.array([end, *ids], dtype=np.uint16) for ids in _encode(tokenizer, plain + too_long)]
                            or [np.zeros(0, dtype=np.uint16)])
    return pack(examples, stream, sequence + 1)


def _encode(tokenizer: Tokenizer, texts: list[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), BATCH):
        for encoding in tokenizer.encode_batch(texts[start:start + BATCH]):
            yield encoding.ids


def _examples(tokenizer: Tokenizer, texts: list[str], room: int, rng: random.Random) -> tuple[list[np.ndarray], list[str]]:
    """(FIM examples of at most `room` ids, texts that are too long for one)."""
    end, prefix, suffix, middle = (tokenizer.token_to_id(t) for t in (END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE))
    cuts = [choose_middle(text, rng) for text in texts]
    parts = _encode(tokenizer, [part for text, (a, b) in zip(texts, cuts) for part in (text[:a], text[b:], text[a:b])])
    examples, too_long = [], []
    for text, before, after, filled in zip(texts, parts, parts, parts):
        halves = [[prefix, *before], [suffix, *after]]
        if rng.random() < 0.5:
            halves.reverse()
        ids = [end, *halves[0], *halves[1], middle, *filled, end]
        if len(ids) > room:
            too_long.append(text)
        else:
            examples.append(np.array(ids, dtype=np.uint16))
    return examples, too_long


def pack(examples: list[np.ndarray], stream: np.ndarray, room: int) -> np.ndarray:
    """Rows of `room` ids: what comes next of the stream, then as many whole examples as fit.

    What remains of the stream fills rows of its own; the end of either that fills no row is left out.
    """
    rows: list[np.ndarray] = []
    used = at = 0
    while at < len(examples):
        group, size = [], 0
        while at < len(examples) and size + examples[at].size - (size > 0) <= room:
            group.append(examples[at][size > 0:])  # the END of the example before starts this one too
            size += group[-1].size
            at += 1
        if used + room - size > stream.size:
            break
        rows.append(np.concatenate([stream[used:used + room - size], *group]))
        used += room - size
    count = (stream.size - used) // room
    return np.concatenate([np.array(rows, dtype=np.uint16).reshape(-1, room), stream[used:used + count * room].reshape(-1, room)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--config", default="nano")
    args = parser.parse_args()
    train = config.load(args.config).train
    texts = [d["text"] for d in corpus.documents(args.work, "train")]
    for sequence in sorted({train.sequence, train.decay_sequence}):
        rows = encode_documents(load(args.work), texts, sequence, train.fim_rate, train.seed)
        save_rows(args.work, rows)
        print(f"{len(rows)} rows of {sequence}: {rows.size / 1e6:.2f} M tokens from {sum(map(len, texts)) / 1e6:.1f} M characters", flush=True)


def save_rows(work: Path, rows: np.ndarray) -> None:
    with paths.atomic(work / f"rows-{rows.shape[1] - 1}.u16", "wb") as out:
        rows.tofile(out)


def load_rows(work: Path, sequence: int) -> np.ndarray:
    return np.memmap(work / f"rows-{sequence}.u16", dtype=np.uint16, mode="r").reshape(-1, sequence + 1)


class Batches:
    """Rows for each step as a pure function of the step, so that a resumed run sees what an uninterrupted one would.

    Rows of one length are visited in a seeded order per epoch.
    """

    def __init__(self, rows: Callable[[int], np.ndarray], seed: int) -> None:
        self._load, self._seed = rows, seed
        self._sequence = 0
        self._rows = np.zeros((0, 1), dtype=np.uint16)
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)

    def rows(self, first_token: int, tokens: int, sequence: int) -> np.ndarray:
        """[tokens / sequence, sequence + 1] int32: the rows that begin at training position first_token."""
        if sequence != self._sequence:
            self._sequence, self._rows, self._epoch = sequence, self._load(sequence), -1
        out = []
        for position in range(first_token // sequence, (first_token + tokens) // sequence):
            epoch, index = divmod(position, len(self._rows))
            if epoch != self._epoch:
                self._epoch = epoch
                self._order = np.random.default_rng([self._seed, epoch, sequence]).permutation(len(self._rows))
            out.append(self._rows[self._order[index]].astype(np.int32))
        return np.stack(out)


if __name__ == "__main__":
    main()
