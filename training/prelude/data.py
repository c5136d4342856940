"""Documents -> training rows of token ids, a share of them (`fim_rate`) rewritten as fill-in-the-middle examples.

    python -m prelude.data --work DIR --config nano

FIM layouts (Bavarian et al. 2022), one of two at random:
    PSM  <|endoftext|> <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <|endoftext|>
    SPM  <|endoftext|> <|fim_suffix|> suffix <|fim_prefix|> prefix <|fim_middle|> middle <|endoftext|>
SPM suits an editor: while the user types, the prompt only grows, but for the last token. The three parts are
tokenised apart, as a server does it.

An example never crosses a row: a row holds whole examples at its end and plain text before them, so that a
middle is always learnt with its prefix and suffix in view. There is one file of rows per row length.

Files of a repository follow each other by path, so that a row shows a file behind its neighbours; half of the plain
ones begin with their path, as an editor shows other files. English is never cut into examples.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Iterator

import numpy as np
from tokenizers import Tokenizer

from . import config, corpus, paths
from .rows import save_rows
from .tokenizer import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, load

# Characters of one FIM example: at least this many, at most about what a row holds.
SMALLEST_PIECE = 150
CHARS_PER_TOKEN = 2.6  # of dense code; an example that is too long all the same becomes plain text
BATCH = 2_000  # strings given to the tokeniser at once


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
    """A document that fits, half of the time; else its parts of SMALLEST_PIECE to about `largest` characters, cut at line ends."""
    if len(text) <= largest and rng.random() < 0.5:
        yield text
        return
    at = 0
    while at < len(text):
        size = int(SMALLEST_PIECE * (largest / SMALLEST_PIECE) ** rng.random())
        end = text.find("\n", at + size)
        end = len(text) if end < 0 else end + 1
        yield text[at:end]
        at = end


def limited(documents: list[dict[str, str]], most: dict[str, int], rng: random.Random) -> list[dict[str, str]]:
    """A random choice of the files of a language that has more characters than it may have."""
    room = dict(most)
    kept: list[dict[str, str]] = []
    for document in rng.sample(documents, len(documents)):
        language = document["language"]
        if room.get(language, 1) > 0:
            kept.append(document)
            if language in room:
                room[language] -= len(document["text"])
    return kept


def by_repository(documents: list[dict[str, str]], rng: random.Random) -> list[dict[str, str]]:
    """Repositories in a random order, the files of each by path."""
    files: dict[str, list[dict[str, str]]] = {}
    for document in documents:
        files.setdefault(document["repository"], []).append(document)
    repositories = sorted(files)
    rng.shuffle(repositories)
    return [document for name in repositories for document in sorted(files[name], key=lambda d: d["path"])]


def encode_documents(tokenizer: Tokenizer, documents: list[dict[str, str]], sequence: int, fim_rate: float, seed: int) -> np.ndarray:
    """[rows, sequence + 1] token ids of all documents, uint16."""
    rng = random.Random(seed)
    plain: list[str] = []
    pieces_to_fill: list[str] = []
    for document in by_repository(documents, rng):
        text, language = document["text"], document["language"]
        if language != "english" and rng.random() < fim_rate:
            pieces_to_fill.extend(pieces(text, max(SMALLEST_PIECE, int(sequence * CHARS_PER_TOKEN)), rng))
        else:
            named = language != "english" and rng.random() < 0.5
            plain.append(f"{'#' if language == 'python' else '//'} {document['path']}\n{text}" if named else text)
    examples, too_long = _examples(tokenizer, pieces_to_fill, sequence + 1, rng)
    end = tokenizer.token_to_id(END)
    stream = np.concatenate([np.array([end, *ids], dtype=np.uint16) for ids in _encode(tokenizer, plain + too_long)]
                            or [np.zeros(0, dtype=np.uint16)])
    return pack(examples, stream, sequence + 1)


def _encode(tokenizer: Tokenizer, texts: list[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), BATCH):
        for encoding in tokenizer.encode_batch_fast(texts[start:start + BATCH]):
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
    documents = limited(corpus.documents(args.work, "train"), train.most_characters, random.Random(train.seed))
    for sequence in sorted({train.sequence, train.decay_sequence}):
        rows = encode_documents(load(args.work), documents, sequence, train.fim_rate, train.seed)
        save_rows(args.work, rows)
        print(f"{len(rows)} rows of {sequence}: {rows.size / 1e6:.2f} M tokens from {sum(len(d['text']) for d in documents) / 1e6:.1f} M characters", flush=True)


if __name__ == "__main__":
    main()
