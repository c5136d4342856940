"""Held-out measures of a checkpoint: quality, exit agreement, calibration of the exit.

    python -m prelude.evaluate --work DIR --run NAME [--kilobytes 150] [--cases 800]

Writes RUN/evaluation.json and RUN/calibration.json (see calibrate.py). Bounds come from the calibration
repositories, everything else is measured on the test repositories.
"""

from __future__ import annotations

import argparse
import json
import random
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from . import corpus, memory, paths
from .calibrate import Scores, calibration_data, exit_summary
from .config import ModelConfig
from .model import Params, forward, logits
from .tokenizer import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, load
from .train import load_params

CONTEXT, STRIDE = 512, 256  # each token is predicted from at least STRIDE tokens, where the file has them
ROWS = 4
TOLERANCE = 0.5  # policy `tolerant`: kept if the full model gives the exit's token this share of its best one's probability


def _scores(final: jax.Array, exit: jax.Array, targets: jax.Array, average: bool) -> Scores:
    """final, exit: [..., vocabulary] logits; targets: [...]."""
    if average:
        final = 0.5 * (final + exit)
    log_final, log_exit = jax.nn.log_softmax(final), jax.nn.log_softmax(exit)
    best, guess = final.argmax(-1), exit.argmax(-1)
    at = lambda values, index: jnp.take_along_axis(values, index[..., None], axis=-1)[..., 0]
    top = at(log_final, best)
    return Scores(at(log_final, targets), best == targets, jnp.exp(top), at(log_exit, targets), jnp.exp(at(log_exit, guess)),
                  best == guess, at(log_final, guess) >= top + np.log(TOLERANCE))


@partial(jax.jit, static_argnums=(3, 4))
def _score_rows(params: Params, tokens: jax.Array, targets: jax.Array, c: ModelConfig, average: bool) -> Scores:
    states = forward(params, tokens, c)
    return _scores(logits(params, states.final, c), logits(params, states.exit, c), targets, average)


@partial(jax.jit, static_argnums=(4, 5))
def _score_ends(params: Params, tokens: jax.Array, ends: jax.Array, targets: jax.Array, c: ModelConfig, average: bool) -> Scores:
    """Scores after the token at `ends` of each row only."""
    states = forward(params, tokens, c)
    last = lambda state: jnp.take_along_axis(state, ends[:, None, None], axis=1)[:, 0]
    return _scores(logits(params, last(states.final), c), logits(params, last(states.exit), c), targets, average)


def _score_batches(params: Params, c: ModelConfig, rows: list[np.ndarray], average: bool) -> Scores:
    """rows: arrays of at most CONTEXT + 1 tokens; returns [rows, CONTEXT] arrays, padding included."""
    parts = []
    for start in range(0, len(rows), ROWS):
        group = np.zeros((ROWS, CONTEXT + 1), dtype=np.int32)
        for i, row in enumerate(rows[start:start + ROWS]):
            group[i, :row.size] = row
        parts.append(jax.tree.map(np.asarray, _score_rows(params, group[:, :-1], group[:, 1:], c, average)))
    return Scores(*(np.concatenate(values)[:len(rows)] for values in zip(*parts)))


def score_documents(params: Params, c: ModelConfig, documents: list[np.ndarray], average: bool = False) -> Scores:
    """Scores of every token of the documents (each starts with END, which is not scored)."""
    rows, masks = [], []
    for ids in documents:
        for start in range(0, max(1, ids.size - 1 - (CONTEXT - STRIDE)), STRIDE):
            row = ids[start:start + CONTEXT + 1]
            mask = np.zeros(CONTEXT, dtype=bool)
            mask[0 if start == 0 else CONTEXT - STRIDE:row.size - 1] = True
            rows.append(row)
            masks.append(mask)
    return _score_batches(params, c, rows, average).pick(np.stack(masks))


class Case(NamedTuple):
    """One line to fill in: the cursor is at `start` of `text`, the line ends at `end`."""

    language: str
    text: str
    start: int
    end: int


def code(documents: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without English, which is never cut into examples (see data.py) and which no parser reads."""
    return [document for document in documents if document["language"] != "english"]


def fim_cases(documents: list[dict[str, str]], count: int, seed: int) -> list[Case]:
    """One-line completions of code, the cursor at a statement's first character (half of them) or inside a line."""
    documents = code(documents)
    rng = random.Random(seed)
    cases: list[Case] = []
    while len(cases) < count:
        document = rng.choice(documents)
        text = document["text"]
        position = rng.randrange(len(text))
        line_start = text.rfind("\n", 0, position) + 1
        end = text.find("\n", position)
        line = text[line_start:end]
        stripped = line.strip()
        if end < 0 or len(stripped) < 8 or stripped[0] in "#*/'\"`":
            continue
        start = line_start + len(line) - len(line.lstrip())
        if rng.random() < 0.5:
            start = rng.randrange(start + 1, end)
        cases.append(Case(document["language"], text, start, end))
    return cases


PREFIX_CHARS, SUFFIX_CHARS = 600, 250  # what an editor would send to so small a model
FIRST_CONTEXT, FIRST_ROWS = 320, 8  # nearly every such prompt is shorter


def fim_prompt(tokenizer: Tokenizer, case: Case) -> list[int]:
    """SPM prompt of a case, cut at line ends to what the context holds: text before the cursor stands last, next to the answer."""
    before = case.text[max(0, case.start - PREFIX_CHARS):case.start]
    after = case.text[case.end:case.end + SUFFIX_CHARS]
    if case.start > PREFIX_CHARS:
        before = before[before.find("\n") + 1:]
    ids = lambda text: tokenizer.encode(text).ids
    special = tokenizer.token_to_id
    return [special(END), special(FIM_SUFFIX), *ids(after), special(FIM_PREFIX), *ids(before), special(FIM_MIDDLE)]


def score_first_tokens(params: Params, c: ModelConfig, tokenizer: Tokenizer, cases: list[Case], average: bool = False) -> Scores:
    """Scores of the first token of each completion."""
    parts = []
    for start in range(0, len(cases), FIRST_ROWS):
        tokens = np.zeros((FIRST_ROWS, FIRST_CONTEXT), dtype=np.int32)
        ends, targets = np.zeros(FIRST_ROWS, dtype=np.int32), np.zeros(FIRST_ROWS, dtype=np.int32)
        for i, case in enumerate(cases[start:start + FIRST_ROWS]):
            prompt = fim_prompt(tokenizer, case)[-FIRST_CONTEXT:]
            tokens[i, :len(prompt)] = prompt
            ends[i], targets[i] = len(prompt) - 1, tokenizer.encode(case.text[case.start:case.end]).ids[0]
        parts.append(jax.tree.map(np.asarray, _score_ends(params, tokens, ends, targets, c, average)))
    return Scores(*(np.concatenate(values)[:len(cases)] for values in zip(*parts)))


def sample(documents: list[dict[str, str]], kilobytes: int, seed: int = 0) -> list[dict[str, str]]:
    """About `kilobytes` per language, whole files, seeded."""
    documents = sorted(documents, key=lambda d: (d["repository"], d["path"]))
    random.Random(seed).shuffle(documents)
    used: dict[str, int] = {}
    out = []
    for document in documents:
        size = len(document["text"])
        if size < 30_000 and used.get(document["language"], 0) + size <= kilobytes * 1000:
            used[document["language"]] = used.get(document["language"], 0) + size
            out.append(document)
    return out


def encode(tokenizer: Tokenizer, documents: list[dict[str, str]]) -> list[np.ndarray]:
    end = tokenizer.token_to_id(END)
    return [np.array([end, *e.ids]) for e in tokenizer.encode_batch([d["text"] for d in documents])]


def bits_per_byte(log_probabilities: np.ndarray, documents: list[dict[str, str]]) -> float:
    return float(-log_probabilities.sum() / np.log(2) / sum(len(d["text"].encode()) for d in documents))


def evaluate(work: Path, checkpoint: Path, kilobytes: int = 150, cases: int = 800) -> dict:
    c, params, saved = load_params(checkpoint)
    average, tokenizer = c.objective.average, load(work)
    test_all, calibration_all = (corpus.documents(work, split) for split in ("test", "calibration"))
    test, calibration = sample(test_all, kilobytes), sample(calibration_all, kilobytes // 2)
    encoded = encode(tokenizer, test)
    scores = score_documents(params, c.model, encoded, average)
    calibration_scores = score_documents(params, c.model, encode(tokenizer, calibration), average)
    first = score_first_tokens(params, c.model, tokenizer, fim_cases(test_all, cases, 1), average)
    first_calibration = score_first_tokens(params, c.model, tokenizer, fim_cases(calibration_all, cases, 2), average)
    languages = np.concatenate([[d["language"]] * (ids.size - 1) for d, ids in zip(test, encoded)])
    size = sum(len(d["text"].encode()) for d in test)
    report = {
        "configuration": c.name, "training_tokens": saved["tokens"], "test_bytes": size,
        "bytes_per_token": size / scores.top.size,
        "top1": float(scores.correct.mean()),
        "bits_per_byte": bits_per_byte(scores.log_probability, test),
        "exit_bits_per_byte": bits_per_byte(scores.exit_log_probability, test),
        "by_language": {
            language: {
                "top1": float(scores.correct[languages == language].mean()),
                "bits_per_byte": bits_per_byte(scores.log_probability[languages == language],
                                               [d for d in test if d["language"] == language]),
                "agreement": float(scores.survives[languages == language].mean()),
            } for language in sorted(set(languages))
        },
        "all": exit_summary(scores, calibration_scores),
        "first": exit_summary(first, first_calibration),
    }
    calibrated = calibration_data(later=(scores, calibration_scores), first=(first, first_calibration),
                                  fitted_on=sorted({d["repository"] for d in calibration_all}))
    for name, content in (("evaluation.json", report), ("calibration.json", calibrated)):
        with paths.atomic(checkpoint.parent / name) as out:
            out.write(json.dumps(content, indent=1) + "\n")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", default="nano")
    parser.add_argument("--kilobytes", type=int, default=150, help="test text per language")
    parser.add_argument("--cases", type=int, default=800, help="FIM cases")
    args = parser.parse_args()
    memory.keep()
    report = evaluate(args.work, args.work / "runs" / args.run / "checkpoint.pkl", args.kilobytes, args.cases)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
