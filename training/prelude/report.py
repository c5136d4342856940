"""What was measured of a run, as the Markdown tables of README.md and MODEL_CARD.md.

    python -m prelude.report --run nano [--beside RUN]       # RUN: a folder, of another model measured on the same text
    python -m prelude.report --ablations ablation-plain ablation-exit ...    # the first is what the others are compared with

Reads evaluation.json, baselines.json, export.json and completions.json of the run; a file that is missing leaves its rows out.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from . import paths

Row = tuple[str, str, str]


def read(run: Path, name: str) -> dict | None:
    path = run / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}%"


def quality_rows(evaluation: dict, baselines: dict | None) -> list[Row]:
    others = (baselines or {}).items()
    sized = lambda name, baseline: f"the same, {name} ({baseline['tokens'] / 1e6:.1f} M tokens)"
    return [
        ("top-1 next-token accuracy, full model", percent(evaluation["top1"]), ""),
        *((sized(name, b), percent(b["top1"]), "") for name, b in others),
        ("bits per byte, full model", f"{evaluation['bits_per_byte']:.3f}", ""),
        ("bits per byte, exit alone", f"{evaluation['exit_bits_per_byte']:.3f}", ""),
        *((sized(name, b), f"{b['bits_per_byte']:.3f}", "") for name, b in others),
    ]


def exit_rows(later: dict, first: dict) -> list[Row]:
    rows = [
        ("exit agrees with the full model: all tokens", percent(later["agreement"]), "70%"),
        ("... first token of a one-line FIM completion", percent(first["agreement"]), "62%"),
        (f"... where the full model's top probability is at least 0.5 ({percent(later['sure_share'])} of tokens)",
         percent(later["agreement_where_sure"]), "93%"),
    ]
    for group, title, goals in ((later, "share of tokens the exit may show", ("40%", "25%")), (first, "the same, first tokens", ("", ""))):
        for precision, goal in zip((0.9, 0.95), goals):
            at = group[f"at_{precision}"]
            detail = f"bound {at['bound']:.3f} from the calibration repositories; precision reached {percent(at['precision'])}"
            rows.append((f"{title} at {precision:.0%} precision ({detail})", percent(at["share"]), goal))
    kept = f"{percent(later['agreement_tolerant'])} / {percent(first['agreement_tolerant'])}"
    return [*rows, ("exit kept by policy `tolerant` (at least half the probability of the best token): all / first", kept, "")]


def file_rows(export: dict | None, completions: dict | None) -> list[Row]:
    rows: list[Row] = []
    if completions:
        rows += [
            (f"one-line FIM completions after which the file still parses, {completions['cases']} cases (Q8_0, llama.cpp, greedy)",
             percent(completions["parse"]), ""),
            ("... when nothing is inserted", percent(completions["empty_completion_parses"]), ""),
            ("... equal to the line that was there", percent(completions["exact"]), ""),
        ]
    if export:
        full, small = export["F32"], export["Q8_0"]
        rows += [
            ("F32 export against JAX: largest logit difference, model / exit",
             " / ".join(f"{part['largest_logit_difference']:.1e}" for part in (full, export["exit F32"])), "1e-2"),
            ("Q8_0 export against JAX: largest logit difference / same top-1",
             f"{small['largest_logit_difference']:.2f} / {percent(small['top1_equal'])}", ""),
            (f"files whose token ids differ between the tokeniser and llama.cpp, of {full['texts_tokenised']}",
             str(full["texts_with_other_ids"]), "0"),
        ]
    return rows


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple(["---"] + ["--:"] * (len(head) - 1)), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def evaluated(run: Path) -> dict:
    evaluation = read(run, "evaluation")
    if evaluation is None:
        raise SystemExit(f"{run}/evaluation.json is missing: run prelude.evaluate first")
    return evaluation


def rows_of(run: Path, evaluation: dict) -> list[Row]:
    return [
        *quality_rows(evaluation, read(run, "baselines")),
        *exit_rows(evaluation["all"], evaluation["first"]),
        ("top-1 of the first FIM token, full model", percent(evaluation["first"]["full_top1"]), ""),
        *file_rows(read(run, "export"), read(run, "completions")),
    ]


def _measure(title: str) -> str:
    """A title without what is peculiar to a run."""
    return re.sub(r" \(.*\)", "", title)


def report(run: Path, beside: Path | None = None) -> str:
    evaluation = evaluated(run)
    rows = rows_of(run, evaluation)
    languages = [(name, percent(v["top1"]), f"{v['bits_per_byte']:.3f}", percent(v["agreement"]))
                 for name, v in evaluation["by_language"].items()]
    measures, columns = ("measure (test repositories)", "value", "goal"), ("language", "top-1", "bits per byte", "exit agreement")
    if beside:
        other = evaluated(beside)
        if other["test_bytes"] != evaluation["test_bytes"]:
            raise SystemExit(f"{beside} was measured on another text")
        values = {_measure(title): value for title, value, _ in rows_of(beside, other)}
        rows = [(title, value, values.get(_measure(title), ""), goal) for title, value, goal in rows]
        measures = (*measures[:2], beside.name, measures[2])
        languages = [(*row, f"{other['by_language'][row[0]]['bits_per_byte']:.3f}") for row in languages]
        columns = (*columns, f"bits per byte, {beside.name}")
    introduction = (f"{evaluation['test_bytes'] / 1000:.0f} kB of test files ({evaluation['all']['tokens']:,} tokens), "
                    f"{evaluation['first']['tokens']} FIM cases; trained on {evaluation['training_tokens'] / 1e6:.1f} M tokens.")
    return "\n\n".join((introduction, table(measures, rows), table(columns, languages)))


def ablations(runs: list[Path]) -> str:
    measured = [(run.name, read(run, "evaluation")) for run in runs]
    base = next(e for _, e in measured if e)["bits_per_byte"]
    rows = [(name, f"{e['bits_per_byte']:.3f}", f"{e['bits_per_byte'] / base - 1:+.1%}", percent(e["top1"]), f"{e['exit_bits_per_byte']:.3f}",
             percent(e["all"]["agreement"]), percent(e["all"]["agreement_where_sure"]), percent(e["first"]["agreement"]),
             percent(e["all"]["at_0.9"]["share"]))
            for name, e in measured if e]
    return table(("run", "bits per byte", "against the first", "top-1", "exit bits per byte", "agreement", "... where sure",
                  "... first FIM token", "shown at 90%"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--run", default="nano")
    parser.add_argument("--beside", type=Path, metavar="RUN", help="folder of another run, measured on the same text")
    parser.add_argument("--ablations", nargs="+", metavar="RUN")
    args = parser.parse_args()
    runs = args.work / "runs"
    print(ablations([runs / name for name in args.ablations]) if args.ablations else report(runs / args.run, args.beside))


if __name__ == "__main__":
    main()
