"""The way to an accelerator and back on a small scale, on this machine, in about a minute.

    python -m accelerator.rehearse [--python PYTHON] [--llama DIR_WITH_LIBLLAMA]

Packs this repository's own files, copies the loads into an empty folder, trains there from nothing else, interrupts it,
lets it go on until the time is over, and exports what came back. PYTHON: the interpreter of the other machine, where its
versions differ.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("PRELUDE_DEVICES", "1")

import jax

from prelude import config, export, objective, smoke
from prelude.rows import load_rows

from . import pack, weights

CONFIGURATION = "rehearsal"


def command(python: str, folder: Path, out: Path, seconds: float) -> subprocess.Popen:
    """accelerator.train with nothing of this checkout in sight."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"PRELUDE_DEVICES": "1"}
    arguments = ["--on", "cpu", "--config", CONFIGURATION, "--seconds", str(seconds), "--out", str(out)]
    return subprocess.Popen([python, "-m", "accelerator.train", *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def interrupted(process: subprocess.Popen) -> str:
    """What a run says that is sent SIGTERM after its first line about a step."""
    said = ""
    for line in process.stdout:
        said += line
        print(line, end="", flush=True)
        if "  step " in line:
            process.terminate()
    if process.wait() != 0:
        raise AssertionError(f"the run failed:\n{said}")
    return said


def run(work: Path, python: str, llama: Path | None, seconds: float) -> dict:
    """Returns what was seen; raises when a part of the way does not work."""
    c = config.load(CONFIGURATION)
    documents, tokenizer = smoke.prepare(smoke.HERE, work, c)
    loads = pack.pack(work, c.train.sequence, work / "loads", pack.code_bytes() / 2**20 + 0.04, shard_bytes=40_000)
    there, out = work / "there", work / "out"
    there.mkdir()
    for load in loads:
        shutil.copytree(load, there, dirs_exist_ok=True)

    first = interrupted(command(python, there, out, 600))
    second = command(python, there, out, seconds).communicate()[0]
    print(second, end="", flush=True)
    trained, params, progress = weights.load(out)
    if len(loads) < 2 or "interrupted: step" not in first or "goes on from step" not in second or "the time is over" not in second:
        raise AssertionError("the run was not interrupted and gone on with")
    if load_rows(there, c.train.sequence).tobytes() != load_rows(work, c.train.sequence).tobytes():
        raise AssertionError("the rows that were carried are not those that were packed")
    files = [path for path in out.rglob("*") if path.is_file()]
    if len(files) > 8 or max(path.stat().st_size for path in files) > 16 << 20:
        raise AssertionError(f"too much to bring back: {files}")

    rows = load_rows(work, c.train.sequence)[:16]
    loss, metrics = objective.loss(params, rows, jax.random.key(0), c.model, c.objective, "float32")
    tokens = rows.shape[0] * (rows.shape[1] - 1)
    export.export(work, work / "gguf", trained, params, tokenizer, llama, [d["text"] for d in documents[:20]])
    return {"loads": len(loads), "loss": float(metrics.final_loss) / tokens, **progress}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--llama", type=Path, default=os.environ.get("INCIPIT_LLAMA_DIR"), help="folder with libllama.so of llama.cpp v0.5.0")
    parser.add_argument("--seconds", type=float, default=45, help="of the run that goes on")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seen = run(Path(folder), args.python, Path(args.llama) if args.llama else None, args.seconds)
    print(f"rehearsal: ok in {time.monotonic() - begun:.0f} s; {seen['loads']} loads, {seen['step']} steps, loss {seen['loss']:.2f}; "
          f"llama.cpp {'compared' if args.llama else 'SKIPPED: no --llama folder'}")


if __name__ == "__main__":
    main()
