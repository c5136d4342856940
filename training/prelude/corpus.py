"""Corpus preparation: local clones of permissively licensed repositories -> three JSON-lines files.

    python -m prelude.corpus --clones DIR --work DIR [--update-lock]

DIR holds one git clone per repository, as `owner+name`, `owner/name` or `owner+name/repo` (bare or not).
Which repository is used for what stands in sources.json; corpus.lock pins commits and licences. Without
--update-lock a clone must contain the commit that the lock names.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import re
import subprocess
from pathlib import Path
from typing import Iterator

from . import paths
from .clean import Deduplicator, language_of, scrub, usable

HERE = Path(__file__).resolve().parent.parent
SPLITS = ("test", "calibration", "train")  # held-out first: training files that repeat them are dropped

# One repository may not dominate: a seeded sample of its files is taken up to this many characters.
MAX_CHARS_PER_REPOSITORY = 3_500_000

_LICENCES = [
    ("Apache-2.0", re.compile(r"Apache License\s+Version 2\.0", re.I)),
    ("MIT", re.compile(r"Permission is hereby granted, free of charge, to any person obtaining", re.I)),
    ("ISC", re.compile(r"Permission to use, copy, modify, and(?:/or)? distribute this software", re.I)),
    ("BSD", re.compile(r"Redistribution and use in source and binary forms", re.I)),
]


def licence_in(text: str) -> str | None:
    """SPDX-like name of the permissive licence whose words these are."""
    return next((licence for licence, pattern in _LICENCES if pattern.search(re.sub(r"\s+", " ", text))), None)


def git(clone: Path, *args: str, stdin: bytes | None = None) -> bytes:
    command = ["git", "-c", "safe.directory=*", "-C", str(clone), *args]
    environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, input=stdin, env=environment).stdout


def find_clone(clones: Path, repository: str) -> Path:
    owner, name = repository.split("/")
    for candidate in (f"{owner}+{name}/repo", f"{owner}+{name}", f"{owner}/{name}", name):
        if (clones / candidate).is_dir():
            return clones / candidate
    raise FileNotFoundError(f"no clone of {repository} under {clones}")


def licence_of(clone: Path, commit: str) -> str:
    """SPDX-like name of the licence at the root of the tree; raises when it is not a permissive one."""
    names = git(clone, "ls-tree", "--name-only", commit).decode().split("\n")
    for name in sorted(n for n in names if re.match(r"(licen[sc]e|copying)", n, re.I)):
        try:
            text = git(clone, "show", f"{commit}:{name}").decode(errors="replace")
        except subprocess.CalledProcessError:
            continue
        if licence := licence_in(text):
            return licence
    raise ValueError(f"{clone}: no MIT, Apache-2.0, BSD or ISC licence found at the root")


def source_files(clone: Path, commit: str) -> Iterator[tuple[str, str, str]]:
    """(path, language, raw text) of every file that its name does not rule out; absent objects are skipped."""
    wanted = []
    for line in git(clone, "ls-tree", "-r", "-z", commit).decode(errors="replace").split("\0"):
        meta, _, path = line.partition("\t")
        language = language_of(path)
        if language and meta.startswith("100"):
            wanted.append((path, language, meta.split()[2]))
    request = "".join(f"{blob}\n" for _, _, blob in wanted).encode()
    reply = io.BytesIO(git(clone, "cat-file", "--batch", stdin=request))
    for path, language, _ in wanted:
        header = reply.readline().split()
        if header[-1] == b"missing":
            continue
        content = reply.read(int(header[2]) + 1)[:-1]
        try:
            yield path, language, content.decode()
        except UnicodeDecodeError:
            continue


def prepare(clones: Path, work: Path, sources: Path, lock_path: Path, update_lock: bool) -> None:
    splits: dict[str, list[str]] = json.loads(sources.read_text())
    old = {e["repository"]: e for e in json.loads(lock_path.read_text())["repositories"]} if lock_path.exists() else {}
    folder = work / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    dedupe, entries = Deduplicator(), []
    for split in SPLITS:
        with paths.atomic(folder / f"{split}.jsonl") as out:
            for repository in splits.get(split, []):
                clone = find_clone(clones, repository)
                locked = old.get(repository)
                if locked and not update_lock:
                    commit = locked["commit"]
                else:
                    commit = git(clone, "rev-parse", "HEAD").decode().strip()
                licence = licence_of(clone, commit)
                files = sorted(source_files(clone, commit))
                random.Random(repository).shuffle(files)
                kept, chars, digest = 0, 0, hashlib.sha256()
                for path, language, raw in files:
                    if chars >= MAX_CHARS_PER_REPOSITORY:
                        break
                    text = scrub(raw)
                    if not usable(text) or GENERATED_RAW.search(raw[:1500]) or not dedupe.accept(text):
                        continue
                    out.write(json.dumps({"repository": repository, "path": path, "language": language, "text": text}) + "\n")
                    digest.update(text.encode())
                    kept, chars = kept + 1, chars + len(text)
                entries.append({"repository": repository, "commit": commit, "licence": licence, "split": split,
                                "files": kept, "characters": chars, "sha256": digest.hexdigest()})
                if locked and not update_lock and locked["sha256"] != digest.hexdigest():
                    raise ValueError(f"{repository}: the text differs from corpus.lock (another version of the filters?)")
                print(f"{split:12} {repository:40} {licence:10} {kept:5} of {len(files):5} files {chars / 1e6:6.2f} MB", flush=True)
    if update_lock or not lock_path.exists():
        with paths.atomic(lock_path) as out:
            rows = ",\n".join("  " + json.dumps(e) for e in entries)
            out.write('{"repositories": [\n' + rows + "\n]}\n")


GENERATED_RAW = re.compile(r"@generated|do not edit", re.I)  # headers are scrubbed, so look at the raw file too


def documents(work: Path, split: str) -> list[dict[str, str]]:
    """The documents of one split, in file order."""
    with open(work / "corpus" / f"{split}.jsonl") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--sources", type=Path, default=HERE / "sources.json")
    parser.add_argument("--lock", type=Path, default=HERE / "corpus.lock")
    parser.add_argument("--update-lock", action="store_true")
    args = parser.parse_args()
    prepare(args.clones, args.work, args.sources, args.lock, args.update_lock)


if __name__ == "__main__":
    main()
