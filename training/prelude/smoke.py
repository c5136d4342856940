"""The whole pipeline on a few files in about a minute: corpus, tokeniser, training, evaluation, export, llama.cpp.

    python -m prelude.smoke [--source GIT_REPOSITORY] [--llama DIR_WITH_LIBLLAMA]

Uses the files of a git repository (default: the one around this folder) as training, calibration and test
text alike: it shows that every step works and that the export is exact, and says nothing about quality.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("PRELUDE_DEVICES", "2")

import numpy as np
from tokenizers import Tokenizer

from . import clean, config, corpus, data, evaluate, export, ngram, paths, rows, tokenizer, train

HERE = Path(__file__).resolve().parent.parent


def repository_documents(source: Path, limit: int = 150) -> list[dict[str, str]]:
    """Usable source files of a work tree: what git tracks, and new files that it does not ignore."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(source), "ls-files", "--cached", "--others", "--exclude-standard"],
                            check=True, capture_output=True, text=True).stdout.split("\n")
    documents = []
    for path in sorted(listed):
        language = clean.language_of(path)
        if language and (source / path).is_file():
            text = clean.scrub((source / path).read_text(errors="replace"))
            if clean.usable(text):
                documents.append({"repository": "this/one", "path": path, "language": language, "text": text})
    return documents[:limit]


def prepare(source: Path, work: Path, c: config.Config) -> tuple[list[dict[str, str]], Tokenizer]:
    """Corpus, tokeniser and rows of a configuration in `work`; returns the documents and the tokeniser."""
    documents = repository_documents(source)
    (work / "corpus").mkdir(parents=True)
    for split in corpus.SPLITS:
        chosen = documents if split == "train" else documents[:20]
        with paths.atomic(work / "corpus" / f"{split}.jsonl") as out:
            out.writelines(json.dumps(d) + "\n" for d in chosen)
    trained = tokenizer.build([d["text"] for d in documents], c.model.vocabulary)
    trained.save(str(work / "tokenizer.json"))
    rows.save_rows(work, data.encode_documents(trained, documents, c.train.sequence, c.train.fim_rate, 0))
    return documents, trained


def run(source: Path, work: Path, llama: Path | None, steps: int | None = None) -> dict:
    """Runs every stage; returns what was measured. Raises when a stage fails or the export is not exact."""
    c = config.load("smoke")
    documents, trained = prepare(source, work, c)
    checkpoint = train.train(c, work, "smoke", steps)
    report = evaluate.evaluate(work, checkpoint, kilobytes=20, cases=40)
    report["baselines"] = ngram.baselines(work, c, c.train.batch_tokens * (steps or c.train.steps), kilobytes=20)
    entries = [json.loads(line) for line in open(checkpoint.parent / "log.jsonl")]
    report["first_loss"], report["last_loss"] = entries[0]["loss"], entries[-1]["loss"]
    if not entries[-1]["loss"] < entries[0]["loss"]:
        raise AssertionError("the loss did not fall")
    c, params, _ = train.load_params(checkpoint)
    export.export(checkpoint.parent, work / "out", c, params, trained, llama, [d["text"] for d in documents[:20]])
    if not np.isfinite(report["bits_per_byte"]):
        raise AssertionError("not a finite number of bits per byte")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, default=HERE.parent)
    parser.add_argument("--llama", type=Path, default=os.environ.get("INCIPIT_LLAMA_DIR"), help="folder with libllama.so of llama.cpp v0.5.0")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = run(args.source, Path(folder), Path(args.llama) if args.llama else None)
    print(f"smoke: ok in {time.monotonic() - begun:.0f} s; loss {report['first_loss']:.2f} -> {report['last_loss']:.2f}, "
          f"exit agreement {report['all']['agreement']:.2f}; llama.cpp {'compared' if args.llama else 'SKIPPED: no --llama folder'}")


if __name__ == "__main__":
    main()
