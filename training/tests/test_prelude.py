"""Behaviours of the pipeline's parts, then the whole of it on this repository's own files."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import tarfile
from pathlib import Path

os.environ.setdefault("PRELUDE_DEVICES", "2")

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prelude import calibrate, clean, completions, config, data, export, from_gguf, grow, model, ngram, objective, optimiser, packages, report, smoke, tokenizer
from prelude.config import ModelConfig, Objective
from prelude.rows import Batches

TINY = ModelConfig(vocabulary=40, width=32, layers=4, exit_layer=1, heads=2, kv_heads=1, head_size=16, feed_forward=64, context=64)
CODE = "def add(a, b):\n    return a + b\n\n\nclass Point:\n    def __init__(self, x):\n        self.x = x\n" * 4


# corpus

@pytest.mark.parametrize("path, language", [
    ("src/main.ts", "typescript"), ("a/b.py", "python"), ("x.mjs", "javascript"),
    ("lib/jquery.min.js", None), ("node_modules/a.js", None), ("types.d.ts", None), ("README.md", None), ("dist/out.js", None),
])
def test_files_are_chosen_by_name(path: str, language: str | None) -> None:
    assert clean.language_of(path) == language


@pytest.mark.parametrize("secret", [
    "AKIAABCDEFGHIJKLMNOP", "ghp_abcdefghijklmnopqrstuvwxyz0123", "someone.real@company.org", "8.8.4.4", "d41d8cd98f00b204e9800998ecf8427e",
])
def test_secrets_are_scrubbed(secret: str) -> None:
    assert secret not in clean.scrub(f"const value = '{secret}'\n")


def test_licence_headers_go_and_other_comments_stay() -> None:
    assert clean.scrub("/* Copyright 2020 Someone */\nlet a = 1") == "let a = 1\n"
    assert clean.scrub("// adds\nlet a = 1") == "// adds\nlet a = 1\n"


def test_generated_and_minified_files_are_refused() -> None:
    assert clean.usable(CODE)
    assert not clean.usable("// @generated\n" + CODE)
    assert not clean.usable("a" * 5000)


def test_copies_and_lightly_edited_copies_are_dropped() -> None:
    text = "\n".join(f"line number {i} of a file" for i in range(100))
    dedupe = clean.Deduplicator()
    assert dedupe.accept(text)
    assert not dedupe.accept(text)
    assert not dedupe.accept(text.replace("number 50", "edited"))
    assert dedupe.accept("\n".join(f"another {i} text" for i in range(100)))


def test_text_is_prose_without_badges_and_addresses() -> None:
    text = clean.prose("# A [![ci](https://a.b/c.svg)](https://a.b)\nSee [the guide](https://guide).\n<p align=center>`Map<string, x>`</p>\n")
    assert text == "# A \nSee the guide.\n`Map<string, x>`"
    assert clean.usable_prose("Words that say what a change does, in a sentence. " * 10)
    assert not clean.usable_prose("| 1.2 | 3.4 |\n" * 100)


# packages

MANIFEST = {"name": "@a/b", "version": "1.2.3", "license": "MIT"}


def _tarball(path: Path, files: dict[str, str], **manifest: object) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"package.json": json.dumps({**MANIFEST, **manifest}), **files}.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_a_package_that_ships_typescript_gives_that_alone(tmp_path: Path) -> None:
    files = {f"src/{i}.ts": f"export const a{i} = {i}\n" * 20 for i in range(5)} | {"lib/0.js": "exports.a0 = 0\n" * 20}
    package = packages.read_archive(_tarball(tmp_path / "a.tgz", files))
    assert (package.name, package.version) == ("@a/b", "1.2.3")
    assert sorted(path for path, _ in package.files) == [f"src/{i}.ts" for i in range(5)]
    only_js = packages.read_archive(_tarball(tmp_path / "b.tgz", {"lib/0.js": "module.exports = 0\n", "lib/1.js": "exports.__esModule = true\n"}))
    assert [path for path, _ in only_js.files] == ["lib/0.js"]


@pytest.mark.parametrize("declared, licence", [
    ("MIT", "MIT"), ("(GPL-2.0 OR MIT)", "MIT"), ("BSD-3-Clause", "BSD-3-Clause"), ("GPL-3.0", None), ("MPL-2.0", None),
    ("SEE LICENSE IN LICENSE.md", None), ("", None),
])
def test_only_permissive_packages_enter(tmp_path: Path, declared: str, licence: str | None) -> None:
    package = packages.read_archive(_tarball(tmp_path / "a.tgz", {}, license=declared))
    if licence is None:
        with pytest.raises(ValueError, match="@a/b: the licence is"):
            packages.licence_of(package)
    else:
        assert packages.licence_of(package) == licence


# data

def _examples(ids: np.ndarray, trained) -> list[dict[str, str]]:
    """The parts of each FIM example, by special token."""
    special = {trained.token_to_id(name): name for name in tokenizer.SPECIAL}
    found: list[dict[str, str]] = []
    for part in np.split(ids, np.flatnonzero(ids < len(special)))[1:]:
        name = special[int(part[0])]
        if name == tokenizer.END:
            found.append({})
        else:
            found[-1][name] = trained.decode([int(i) for i in part[1:]])
    return [example for example in found if example]


def test_fim_examples_keep_every_character() -> None:
    trained = tokenizer.build([CODE], 300)
    rows = data.encode_documents(trained, [{"repository": "a/b", "path": "a.py", "language": "python", "text": CODE}] * 20, sequence=400, fim_rate=0.4, seed=3)
    examples = [example for row in rows for example in _examples(row, trained)]
    joined = "".join(e[tokenizer.FIM_PREFIX] + e[tokenizer.FIM_MIDDLE] + e[tokenizer.FIM_SUFFIX] for e in examples)
    assert len(joined) > 2 * len(CODE) and (CODE * 20).startswith(joined)


@pytest.mark.parametrize("seed", range(5))
def test_an_example_never_crosses_a_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    end = 0
    examples = [np.array([end, 1, *rng.integers(4, 40, rng.integers(1, 28)), 3, 5, end]) for _ in range(200)]
    stream = np.arange(100, 5000)
    rows = data.pack(examples, stream, 33)
    assert rows.shape[1] == 33
    for row in rows:
        assert (row == 1).sum() == (row == 3).sum()  # as many beginnings as middles
        if (row == 1).any():
            assert row[-1] == end and (row == end).sum() == (row == 1).sum() + 1
    plain = rows[rows >= 100]
    assert (plain == stream[:plain.size]).all()  # the stream is used in order, nothing skipped
    assert sum((rows == 1).sum(axis=1)) == 200


def test_rows_depend_only_on_the_training_position() -> None:
    rows = {256: np.arange(80 * 257).reshape(80, 257), 512: np.arange(40 * 513).reshape(40, 513)}
    whole = Batches(rows.__getitem__, seed=1).rows(0, 128 * 256, 256)
    again = Batches(rows.__getitem__, seed=1)
    again.rows(0, 1024, 512)
    assert (again.rows(100 * 256, 2048, 256) == whole[100:108]).all()
    assert len(set(whole[:80, 0])) == 80  # every row once per epoch


def test_files_follow_their_neighbours() -> None:
    documents = [{"repository": r, "path": p, "language": "python", "text": CODE} for p in "bca" for r in ("x", "y", "z")]
    ordered = [(d["repository"], d["path"]) for d in data.by_repository(documents, random.Random(0))]
    assert sorted(ordered) == sorted((d["repository"], d["path"]) for d in documents)
    for at in (0, 3, 6):
        assert [path for _, path in ordered[at:at + 3]] == ["a", "b", "c"] and len({r for r, _ in ordered[at:at + 3]}) == 1


def test_a_language_is_cut_to_its_share() -> None:
    documents = [{"language": language, "text": "x" * 10} for language in ("python", "english") for _ in range(20)]
    kept = [d["language"] for d in data.limited(documents, {"python": 50}, random.Random(0))]
    assert kept.count("python") == 5 and kept.count("english") == 20


def test_english_is_never_cut_into_examples() -> None:
    trained = tokenizer.build([CODE], 300)
    for language in ("english", "python"):
        documents = [{"repository": "a/b", "path": "a", "language": language, "text": CODE}] * 40
        rows = data.encode_documents(trained, documents, sequence=400, fim_rate=0.7, seed=3)
        assert len(rows) and (rows == trained.token_to_id(tokenizer.FIM_MIDDLE)).any() == (language == "python")


# model and objective

def test_what_an_accelerator_computes_is_what_a_cpu_computes() -> None:
    c = dataclasses.replace(TINY, adapter=True)
    params, rows, o = _trained_looking(c), np.arange(99).reshape(3, 33) % 40, Objective(1.0, 0.8, 1.0)
    loss = lambda dtype: jax.value_and_grad(lambda p: objective.loss(p, rows, jax.random.key(0), c, o, dtype)[0])(params)
    (ours, our_gradient), (theirs, their_gradient) = loss("xla"), loss("float32")
    assert np.isclose(ours, theirs, rtol=1e-3)
    for x, y in zip(jax.tree.leaves(our_gradient), jax.tree.leaves(their_gradient)):
        assert np.linalg.norm(x - y) <= 0.06 * np.linalg.norm(y)


def test_a_token_sees_only_what_precedes_it() -> None:
    params = _trained_looking(TINY)
    tokens = np.arange(200).reshape(1, 200) % 40
    changed = tokens.copy()
    changed[0, 150:] += 1
    a, b = (model.forward(params, jnp.array(t % 40), TINY).final for t in (tokens, changed))
    assert np.allclose(a[:, :150], b[:, :150], atol=1e-5)
    assert not np.allclose(a[:, 150:], b[:, 150:], atol=1e-3)


@pytest.mark.parametrize("o", [Objective(0.7, 0.5, 0.2), Objective(0.7, 0.0), Objective(0.7, 0.5, average=True), Objective(1.0, 1.0, 0.3)])
def test_the_loss_gradient_is_that_of_its_formula(o: Objective) -> None:
    final, exit = jax.random.normal(jax.random.key(1), (2, 6, 40))
    targets = jnp.arange(6)

    def formula(final, exit):
        stop = jax.lax.stop_gradient
        final = 0.5 * (final + exit) if o.average else final
        f, e = jax.nn.log_softmax(final), jax.nn.log_softmax(exit)
        ce = lambda logp: -logp[jnp.arange(6), targets].sum()
        kl = lambda teacher, student: (jnp.exp(stop(teacher)) * (stop(teacher) - student)).sum()
        return ce(f) + o.exit_weight * ((1 - o.distil) * ce(e) + o.distil * kl(f, e)) + o.back * kl(e, f)

    ours, _ = jax.value_and_grad(lambda a, b: objective.loss_of_logits(a, b, targets, o), (0, 1), has_aux=True)(final, exit)[0], None
    theirs = jax.value_and_grad(formula, (0, 1))(final, exit)
    grads = jax.grad(lambda a, b: objective.loss_of_logits(a, b, targets, o)[0], (0, 1))(final, exit)
    assert np.allclose(ours[0], theirs[0], rtol=1e-4)
    for a, b in zip(grads, theirs[1]):
        assert np.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_the_product_and_its_gradients_are_those_of_matmul(dtype: str, tolerance: float) -> None:
    a, b = jax.random.normal(jax.random.key(0), (2, 8, 16)), jax.random.normal(jax.random.key(1), (2, 16, 4))
    ours = jax.value_and_grad(lambda a, b: (model.matmul(a, b, dtype) ** 2).sum(), (0, 1))(a, b)
    theirs = jax.value_and_grad(lambda a, b: ((a @ b) ** 2).sum(), (0, 1))(a, b)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert np.linalg.norm(x - y) <= tolerance * np.linalg.norm(y)


def test_layer_dropout_spares_the_first_layer() -> None:
    rates = objective.skip_schedule(8, 0.2)
    assert rates[0] == 0 and np.isclose(rates[-1], 0.2) and (np.diff(rates) > 0).all()


def test_muon_directions_are_nearly_orthogonal() -> None:
    direction = optimiser.orthogonal(jax.random.normal(jax.random.key(0), (32, 64)))
    values = jnp.linalg.svd(direction, compute_uv=False)
    assert values.min() > 0.5 and values.max() < 1.5


def _trained_looking(c: ModelConfig) -> dict:
    """Fresh parameters whose layers do something (at the start each is the identity)."""
    params = model.init(jax.random.key(0), c)
    for index, layer in enumerate([*params["layers"], *filter(None, [params.get("adapter")])]):
        for name in ("wo", "down"):
            layer[name] = 0.1 * jax.random.normal(jax.random.key(index), layer[name].shape)
    return params


# baseline and calibration

def test_ngram_probabilities_sum_to_one() -> None:
    ids = np.random.default_rng(0).integers(0, 7, 500)
    counts = ngram.NGram(ids, 3, 7)
    total = sum(counts.score(np.array([1, 2, 3, 4, word]))[0][-1] for word in range(7))
    assert np.isclose(total, 1.0)


def test_ngram_learns_a_cycle() -> None:
    ids = np.tile(np.arange(5), 50)
    probability, guess = ngram.NGram(ids, 5, 5).score(ids[:20])
    assert (guess == ids[1:20]).all() and probability[5:].min() > 0.9


def test_the_bound_is_the_lowest_that_keeps_the_precision() -> None:
    confidence = np.linspace(0, 1, 1001)
    nothing = np.zeros(1001)
    scores = calibrate.Scores(nothing, nothing, nothing, nothing, confidence, confidence > 0.5, nothing)
    assert 0.44 < calibrate.bound_for(scores, 0.9) < 0.45


def test_calibrated_survival_rises_and_is_the_measured_share() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(4000)
    nothing = np.zeros(4000)
    steps = calibrate.isotonic(calibrate.Scores(nothing, nothing, nothing, nothing, confidence, rng.random(4000) < confidence, nothing))
    assert (np.diff(steps.survival) > 0).all() and (np.diff(steps.confidence) > 0).all()
    assert np.allclose(steps.at(np.array([0.2, 0.5, 0.9])), [0.2, 0.5, 0.9], atol=0.1)


# published files

def test_a_published_file_is_read_back(tmp_path: Path) -> None:
    c = dataclasses.replace(config.load("smoke"), model=dataclasses.replace(config.load("smoke").model, vocabulary=300))
    params, trained = _trained_looking(c.model), tokenizer.build([CODE], 300)
    export.write_gguf(tmp_path / "a.gguf", c, params, trained, quantised=False, calibration=None)
    read_c, read_params, read_tokenizer = from_gguf.read(tmp_path / "a.gguf")
    assert read_c.model == c.model
    jax.tree.map(np.testing.assert_array_equal, read_params, params)
    text = CODE + "<|endoftext|>"
    assert read_tokenizer.encode(text).ids == trained.encode(text).ids
    assert read_tokenizer.token_to_id(tokenizer.END) == 0


def test_completions_are_asked_for_in_code_alone() -> None:
    documents = [{"language": "python", "text": CODE}, {"language": "english", "text": "Words that say what a change does.\n" * 9}]
    parses = lambda language, text: {"python": True}[language]  # there is no parser of English
    cases = completions.parsing_cases(documents, parses, 30, 0)
    assert {case.language for case in cases} == {"python"} and len(cases) == 30


# reports

def _measured(run: Path, bits: float, bound: float, test_bytes: int = 1000) -> Path:
    at = {"bound": bound, "share": 0.5, "precision": 0.9}
    group = {"tokens": 300, "agreement": 0.8, "agreement_tolerant": 0.9, "agreement_where_sure": 0.95, "sure_share": 0.5,
             "full_top1": 0.2, "at_0.9": at, "at_0.95": at}
    languages = {"python": {"top1": 0.5, "bits_per_byte": bits, "agreement": 0.8}}
    run.mkdir()
    (run / "evaluation.json").write_text(json.dumps({
        "training_tokens": 0, "test_bytes": test_bytes, "top1": 0.5, "bits_per_byte": bits, "exit_bits_per_byte": bits + 0.1,
        "by_language": languages, "all": group, "first": group}))
    return run


def test_a_report_names_another_model_beside_it(tmp_path: Path) -> None:
    small, nano = _measured(tmp_path / "small", 1.0, 0.1), _measured(tmp_path / "nano", 1.2, 0.3)
    text = report.report(small, nano)
    assert "| measure (test repositories) | value | nano | goal |" in text
    assert "| bits per byte, full model | 1.000 | 1.200 |  |" in text
    assert "bound 0.100" in text and "precision reached 90.0%) | 50.0% | 50.0% | 40% |" in text  # whatever its bound is
    assert "| python | 50.0% | 1.000 | 80.0% | 1.200 |" in text
    with pytest.raises(SystemExit, match="another text"):
        report.report(small, _measured(tmp_path / "other", 1.2, 0.3, test_bytes=999))


# larger models

WIDER = {"width": 48, "heads": 4, "feed_forward": 96}


def test_a_grown_model_says_what_the_smaller_one_says() -> None:
    small = dataclasses.replace(TINY, adapter=True, kv_heads=2)  # new heads come between those of two key heads
    large = dataclasses.replace(small, **WIDER)
    params, tokens = _trained_looking(small), np.arange(66).reshape(2, 33) % 40
    grown = grow.grow(params, small, large)
    assert jax.tree.map(np.shape, grown) == jax.tree.map(np.shape, model.init(jax.random.key(0), large))
    for part in ("exit", "final"):
        before, after = (jax.nn.log_softmax(model.logits(p, getattr(model.forward(p, tokens, c), part), c)) for p, c in ((params, small), (grown, large)))
        assert float((jnp.exp(before) * (before - after)).sum(-1).mean()) < 0.002


def test_a_published_model_goes_on_as_it_is() -> None:
    c = dataclasses.replace(TINY, adapter=True)
    params = _trained_looking(c)
    jax.tree.map(np.testing.assert_array_equal, grow.grow(params, c, c), params)


def test_all_of_a_grown_model_learns() -> None:
    small = dataclasses.replace(TINY, adapter=True)
    large = dataclasses.replace(small, **WIDER)
    grown, rows = grow.grow(_trained_looking(small), small, large), np.arange(99).reshape(3, 33) % 40
    step = jax.jit(lambda p, s, t: optimiser.update(p, jax.grad(lambda q: objective.loss(q, rows, jax.random.key(0), large, Objective(1, 0.8, 1), "float32")[0])(p), s, t, 0.01, 0.01)[:2])
    after, state = grown, optimiser.init(grown)
    for t in range(3):
        after, state = step(after, state, jnp.float32(t))
    for name in optimiser.MATRICES:
        for layer, before in zip(after["layers"], grown["layers"]):
            assert (np.abs(layer[name] - before[name]) > 1e-5).mean() > 0.9, name
    assert (np.abs(after["embedding"][:, small.width:]) > 1e-5).mean() > 0.9


def test_only_what_can_be_made_wider_grows() -> None:
    with pytest.raises(ValueError, match="layers"):
        grow.grow(_trained_looking(TINY), TINY, dataclasses.replace(TINY, layers=6))


# everything

def test_the_whole_pipeline_on_this_repository(tmp_path: Path) -> None:
    llama = os.environ.get("INCIPIT_LLAMA_DIR")
    measured = smoke.run(smoke.HERE, tmp_path, Path(llama) if llama else None)
    assert measured["last_loss"] < measured["first_loss"]
    assert measured["bytes_per_token"] > 1
    if llama is None:
        pytest.skip("ran all but the comparison with llama.cpp: INCIPIT_LLAMA_DIR is not set")


def test_configurations_build() -> None:
    for name in json.loads((config.HERE / "config.json").read_text()):
        c = config.load(name)
        assert c.train.batch_tokens % c.train.decay_sequence == 0
        assert c.model.width % 32 == 0 and c.model.feed_forward % 32 == 0  # Q8_0 blocks
