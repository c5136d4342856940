"""One-line completions by the exported file, in llama.cpp: how many leave the file parseable?

    python -m prelude.completions --work DIR --run NAME --gguf FILE --llama DIR [--cases 200]

Writes RUN/completions.json.

A case is a held-out file that parses, with one line cut from a cursor (a statement's first character, or
inside the line) to its end. The model fills it greedily up to a line end. Beside its rate stand the rate of
the empty completion and the rate of exact matches.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable

from tokenizers import Tokenizer
from tree_sitter import Language, Parser

from . import corpus, paths
from .evaluate import Case, code, fim_cases, fim_prompt
from .tokenizer import SPECIAL, load

MAX_TOKENS = 48


def parsers() -> dict[str, Parser]:
    import tree_sitter_javascript
    import tree_sitter_python
    import tree_sitter_typescript

    languages = {"python": tree_sitter_python.language(), "javascript": tree_sitter_javascript.language(),
                 "typescript": tree_sitter_typescript.language_typescript(), "tsx": tree_sitter_typescript.language_tsx()}
    return {name: Parser(Language(pointer)) for name, pointer in languages.items()}


def parsing_cases(documents: list[dict[str, str]], parses: Callable[[str, str], bool], count: int, seed: int) -> list[Case]:
    """Cases from files of at most 8,000 characters that parse as they are."""
    small = [d for d in code(documents) if len(d["text"]) < 8000 and parses(d["language"], d["text"])]
    return fim_cases(small, count, seed)


def complete(model, tokenizer: Tokenizer, case: Case, max_tokens: int = MAX_TOKENS) -> str:
    """Greedy completion up to a line end or an end token."""
    special = {tokenizer.token_to_id(token) for token in SPECIAL}
    ids: list[int] = []
    logits = model.decode(fim_prompt(tokenizer, case), fresh=True)[-1]
    while len(ids) < max_tokens:
        token = int(logits.argmax())
        if token in special:
            break
        ids.append(token)
        if "\n" in tokenizer.decode([token]):
            break
        logits = model.decode([token])[-1]
    return tokenizer.decode(ids).split("\n")[0]


def measure(work: Path, gguf: Path, llama: Path, count: int, seed: int = 7) -> dict:
    from .llamacpp import LlamaModel, open_library

    by_language, tokenizer = parsers(), load(work)

    def parses(language: str, text: str) -> bool:
        names = ("typescript", "tsx") if language == "typescript" else (language,)
        return any(not by_language[name].parse(text.encode()).root_node.has_error for name in names)

    cases = parsing_cases(corpus.documents(work, "test"), parses, count, seed)
    outcomes, examples = [], []
    with LlamaModel(open_library(llama), gguf) as model:
        for case in cases:
            before, wanted, after = case.text[:case.start], case.text[case.start:case.end], case.text[case.end:]
            completion = complete(model, tokenizer, case)
            outcomes.append((case.language, parses(case.language, before + completion + after), parses(case.language, before + after),
                             completion.rstrip() == wanted.rstrip()))
            examples.append({"before": before[-60:], "completion": completion, "wanted": wanted})
    rate = lambda rows, i: round(sum(row[i] for row in rows) / max(1, len(rows)), 4)
    report = {"cases": len(cases), "parse": rate(outcomes, 1), "empty_completion_parses": rate(outcomes, 2), "exact": rate(outcomes, 3)}
    for language in sorted({row[0] for row in outcomes}):
        rows = [row for row in outcomes if row[0] == language]
        report[language] = {"cases": len(rows), "parse": rate(rows, 1), "exact": rate(rows, 3)}
    return {"report": report, "examples": examples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", default="nano")
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--llama", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--examples", type=Path, help="write every completion here (JSON)")
    args = parser.parse_args()
    result = measure(args.work, args.gguf, args.llama, args.cases)
    if args.examples:
        args.examples.write_text(json.dumps(result["examples"], indent=1))
    with paths.atomic(args.work / "runs" / args.run / "completions.json") as out:
        out.write(json.dumps(result["report"], indent=1) + "\n")
    print(json.dumps(result["report"], indent=1))


if __name__ == "__main__":
    main()
