"""Corpus preparation from published packages: npm tarballs and Python wheels -> three JSON-lines files.

    python -m prelude.packages --archives DIR --work DIR [--update-lock]

packages.json names the packages and their split; packages.lock pins version, archive and licence of each. Archives
that DIR lacks are fetched by npm and pip, one after the other, and nothing in them is run. With --update-lock the
versions are those of the archives in DIR, or the newest.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

from . import clean, paths
from .corpus import GENERATED_RAW, SPLITS, licence_in

HERE = Path(__file__).resolve().parent.parent
REGISTRIES = ("npm", "pip")

# One package may not dominate: a seeded sample of its files is taken up to this many characters.
MAX_CHARS_PER_PACKAGE = 5_000_000
MAX_PROSE_PER_PACKAGE = 600_000
TYPESCRIPT_FILES = 5  # a package with as many ships its source: its JavaScript is what a compiler made of it


class Package(NamedTuple):
    registry: str
    name: str
    version: str
    declared: str  # licence, as the manifest says it
    licence_text: str
    files: list[tuple[str, str]]  # path, text


def read_archive(path: Path) -> Package:
    return _read_wheel(path) if path.suffix == ".whl" else _read_tarball(path)


def _read_tarball(path: Path) -> Package:
    files: list[tuple[str, str]] = []
    with tarfile.open(path) as archive:
        for member in archive:
            inside = member.name.partition("/")[2]  # the first folder is `package`, mostly
            if member.isfile() and (_wanted(inside) or inside == "package.json" or _is_licence(inside)):
                files.append((inside, archive.extractfile(member).read().decode(errors="replace")))
    manifest = json.loads(dict(files)["package.json"])
    declared = manifest.get("license") or manifest.get("licenses") or ""
    if not isinstance(declared, str):  # an old form: {"type": ...} or a list of such
        declared = " OR ".join(entry["type"] for entry in (declared if isinstance(declared, list) else [declared]))
    return Package("npm", manifest["name"], manifest["version"], declared, _licence_text(files), _sources(files))


def _read_wheel(path: Path) -> Package:
    files: list[tuple[str, str]] = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if _wanted(name) or name.endswith(".dist-info/METADATA") or ".dist-info/" in name and _is_licence(name):
                files.append((name, archive.read(name).decode(errors="replace")))
    metadata = email.message_from_string(next(text for name, text in files if name.endswith(".dist-info/METADATA")))
    classifiers = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
    declared = metadata.get("License-Expression") or " AND ".join(classifiers) or metadata.get("License", "")
    description = metadata.get_payload() or metadata.get("Description", "")
    sources = _sources(files) + [("README.md", description)]
    return Package("pip", metadata["Name"], metadata["Version"], declared, _licence_text(files), sources)


def _is_licence(path: str) -> bool:
    return bool(re.match(r"(licen[sc]e|copying)", path.rpartition("/")[2], re.I))


def _wanted(path: str) -> bool:
    return clean.language_of(path) is not None or clean.is_prose(path)


def _licence_text(files: list[tuple[str, str]]) -> str:
    return "\n".join(text for path, text in files if _is_licence(path) and path.count("/") <= 2)


def _sources(files: list[tuple[str, str]]) -> list[tuple[str, str]]:
    wanted = [(path, text) for path, text in files if _wanted(path) and not _is_licence(path)]
    ships_typescript = sum(clean.language_of(path) == "typescript" for path, _ in wanted) >= TYPESCRIPT_FILES
    compiled = lambda path, text: clean.language_of(path) == "javascript" and (ships_typescript or clean.compiled(text))
    return [(path, text) for path, text in wanted if not compiled(path, text)]


_PERMISSIVE = re.compile(r"\b(MIT|Apache|BSD|ISC|0BSD|BlueOak)", re.I)
_OTHER = re.compile(r"GPL|MPL|EPL|CDDL|SSPL|BUSL|Elastic|Commons|Proprietary|Other", re.I)


def licence_of(package: Package) -> str:
    """The licence that the manifest declares, or that its text is; raises when that is not a permissive one."""
    choices = [choice for choice in re.split(r"\s+OR\s+|/", package.declared) if _PERMISSIVE.search(choice) and not _OTHER.search(choice)]
    if choices and len(choices[0]) < 80:
        return choices[0].strip("() ")
    if not package.declared or len(package.declared) >= 80 or "see" in package.declared.lower():
        found = licence_in(package.licence_text or package.declared)
        if found:
            return found
    raise ValueError(f"{package.name}: the licence is {package.declared[:80]!r}, not MIT, Apache-2.0, BSD or ISC")


# Packages ship bundles and tables, on whose long words the patterns of `scrub` would take for ever.
_LONG_WORD = re.compile(r"[\w/+]{2000}")


def _data_like(raw: str) -> bool:
    return len(raw) > 4 * clean.MAX_CHARS or bool(_LONG_WORD.search(raw))


_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.M)


class Document(NamedTuple):
    path: str
    language: str
    text: str


def documents_of(package: Package) -> list[Document]:
    """What passes the filters, in a seeded order."""
    files = sorted(package.files)
    random.Random(package.name).shuffle(files)
    out, size = [], {"code": 0, "prose": 0}
    limits = {"code": MAX_CHARS_PER_PACKAGE, "prose": MAX_PROSE_PER_PACKAGE}
    for path, raw in files:
        kind = "prose" if clean.is_prose(path) else "code"
        if size[kind] >= limits[kind] or GENERATED_RAW.search(raw[:1500]) or _data_like(raw):
            continue
        text = clean.scrub(clean.prose(raw) if kind == "prose" else _SOURCE_MAP.sub("", raw))
        if not (clean.usable_prose(text) if kind == "prose" else clean.usable(text)):
            continue
        size[kind] += len(text)
        out.append(Document(path, clean.language_of(path) or "english", text))
    return out


def _prepare_one(path: Path) -> tuple[str, str, str, list[Document]]:
    """(version, licence, why it is refused, documents): the part that needs no other package."""
    package = read_archive(path)
    try:
        return package.version, licence_of(package), "", documents_of(package)
    except ValueError as error:
        return package.version, "", str(error), []


def fetch(registry: str, name: str, version: str | None, folder: Path) -> Path:
    """The package's archive, by the registry's own client; no script of the package runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as into:
        if registry == "npm":
            command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", into, f"{name}@{version or 'latest'}"]
        else:  # pure Python only: the same file on every machine
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps",
                       "--no-cache-dir", "--only-binary=:all:", "--platform=any", "--implementation=py", "--python-version=3.12",
                       "--dest", into, f"{name}=={version}" if version else name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        archive = next(Path(into).iterdir())
        return archive.rename(folder / archive.name)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _found(registry: str, folder: Path) -> dict[str, Path]:
    """Archives by the package's name, as far as their file names tell it."""
    out: dict[str, Path] = {}
    for path in sorted(folder.glob("*.tgz" if registry == "npm" else "*.whl")):
        stem = re.match(r"(.+?)-\d+\.", path.name)
        if stem:
            out[_key(stem[1])] = path
    return out


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower().lstrip("@"))


def archives(folder: Path, names: dict, locked: dict[tuple[str, str], dict] | None) -> list[tuple[str, str, str, Path]]:
    """(split, registry, name, archive) of every package; what is missing is fetched, what differs from the lock is refused."""
    out = []
    for split in SPLITS:
        for registry in REGISTRIES:
            present = _found(registry, folder / registry)
            for name in names[registry].get(split, []):
                entry = locked[registry, name] if locked is not None else None
                path = folder / registry / entry["archive"] if entry else present.get(_key(name))
                if path is None or not path.exists():
                    print(f"fetching {name}", flush=True)
                    path = fetch(registry, name, entry and entry["version"], folder / registry)
                if entry and sha256(path) != entry["sha256"]:
                    raise ValueError(f"{path}: another file than packages.lock names")
                out.append((split, registry, name, path))
    return out


def prepare(folder: Path, work: Path, names_path: Path, lock_path: Path, update_lock: bool) -> None:
    names = json.loads(names_path.read_text())
    old = None if update_lock else {(e["registry"], e["package"]): e for e in json.loads(lock_path.read_text())["packages"]}
    wanted = archives(folder, names, old)
    (work / "corpus").mkdir(parents=True, exist_ok=True)
    dedupe, entries, refused = clean.Deduplicator(), [], []
    out = {split: open(work / "corpus" / f"{split}.jsonl.part", "w") for split in SPLITS}
    with Pool(2) as pool:  # the filters of the next packages run while this one's copies are looked for
        for (split, registry, name, path), (version, licence, why, documents) in zip(wanted, pool.imap(_prepare_one, [w[3] for w in wanted])):
            if why:
                refused.append(why)
                continue
            kept = sorted(d for d in documents if dedupe.accept(d.text))  # neighbours in a folder stay neighbours
            digest = hashlib.sha256()
            for d in kept:
                out[split].write(json.dumps({"repository": f"{registry}/{name}", **d._asdict()}) + "\n")
                digest.update(d.text.encode())
            chars = {language: sum(len(d.text) for d in kept if d.language == language) for language in sorted({d.language for d in kept})}
            entries.append({"registry": registry, "package": name, "version": version, "archive": path.name, "sha256": sha256(path),
                            "licence": licence, "split": split, "files": len(kept), "characters": chars, "text": digest.hexdigest()})
            if old is not None and old[registry, name]["text"] != digest.hexdigest():
                raise ValueError(f"{name}: the text differs from packages.lock (another version of the filters?)")
            print(f"{split:12} {registry:5} {name:40} {licence:12} {len(kept):5} of {len(documents):5} files {chars}", flush=True)
    for split, file in out.items():
        file.close()
        Path(file.name).replace(work / "corpus" / f"{split}.jsonl")
    if update_lock:
        with paths.atomic(lock_path) as lock:
            lock.write('{"packages": [\n' + ",\n".join("  " + json.dumps(e) for e in entries) + "\n]}\n")
    if refused:
        raise SystemExit("to be taken out of packages.json:\n" + "\n".join(refused))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--archives", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=paths.default_work())
    parser.add_argument("--packages", type=Path, default=HERE / "packages.json")
    parser.add_argument("--lock", type=Path, default=HERE / "packages.lock")
    parser.add_argument("--update-lock", action="store_true")
    args = parser.parse_args()
    prepare(args.archives, args.work, args.packages, args.lock, args.update_lock)


if __name__ == "__main__":
    main()
