"""Keeps a part of what pack.ts packed; when all are there, puts them together.

    python3 unpack.py FOLDER_OF_A_PART WORK

Needs Python alone, since Node is among what is carried. Writes WORK/environment.sh last: to be read by a shell.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile


def keep(folder: str, parts: str) -> int:
    """Moves the part in a folder to the others; says how many there are in all."""
    (name,) = os.listdir(folder)
    number, count, wanted = re.fullmatch(r"part-(\d+)-of-(\d+)-([0-9a-f]{64})", name).groups()
    path = os.path.join(folder, name)
    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
            sys.exit(f"{path} is damaged")
    os.makedirs(parts, exist_ok=True)
    shutil.copy(path, os.path.join(parts, f"{int(number):03}"))
    print(f"part {number} of {count} is kept", flush=True)
    return int(count)


class Joined:
    """The parts one after the other, as a file that is read from its beginning to its end."""

    def __init__(self, paths):
        self.files = [open(path, "rb") for path in paths]

    def read(self, size: int) -> bytes:
        while self.files:
            data = self.files[0].read(size)
            if data:
                return data
            self.files.pop(0).close()
        return b""


def cuda_folders() -> list[str]:
    """Where Python's packages, or a toolkit, have what the back end for CUDA needs."""
    roots = {sysconfig.get_path("purelib"), *sys.path}
    candidates = [folder for root in roots if root for folder in glob.glob(os.path.join(root, "nvidia", "**", "lib*"), recursive=True)]
    candidates += glob.glob("/usr/local/cuda*/lib64") + glob.glob("/usr/local/cuda*/targets/*/lib")
    candidates += glob.glob("/usr/local/nvidia/lib*") + glob.glob("/usr/lib/*-linux-gnu")
    found = {}
    for name in ["libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcuda.so.1"]:
        folder = next((folder for folder in candidates if os.path.exists(os.path.join(folder, name))), None)
        if folder is not None:
            found[folder] = True
        else:
            print(f"{name} was not found", flush=True)
    return list(found)


def check(library: str, folders: list[str]) -> None:
    """Says what the back end for CUDA would not find."""
    path = ":".join([os.path.join(os.path.dirname(library), "../../../linux-x64/bins/linux-x64"), *folders])
    told = subprocess.run(["ldd", library], env={**os.environ, "LD_LIBRARY_PATH": path}, capture_output=True, text=True)
    missing = [line.strip() for line in told.stdout.splitlines() if "not found" in line]
    print("the back end for CUDA finds all that it needs" if not missing else "\n".join(missing), flush=True)


def main() -> None:
    folder, work = sys.argv[1], os.path.abspath(sys.argv[2])
    parts = os.path.join(work, "parts")
    count = keep(folder, parts)
    paths = [os.path.join(parts, f"{number:03}") for number in range(1, count + 1)]
    if not all(map(os.path.exists, paths)):
        return
    with tarfile.open(fileobj=Joined(paths), mode="r|xz") as archive:
        # We packed it ourselves. (An argument of the method in newer versions only.)
        archive.extraction_filter = lambda member, _: member
        archive.extractall(work)
    folders = cuda_folders()
    library = os.path.join(work, "node_modules/@node-llama-cpp/linux-x64-cuda/bins/linux-x64-cuda/libggml-cuda.so")
    if os.path.exists(library):
        check(library, folders)
    with open(os.path.join(work, "environment.sh"), "w") as file:
        file.write(f'export PATH="{work}/bin:$PATH"\n')
        file.write(f'export LD_LIBRARY_PATH="{":".join(folders)}:${{LD_LIBRARY_PATH-}}"\n')
        file.write(f'export INCIPIT_CACHE="{work}/cache"\n')
        # Kernels that the driver compiles once, for all processes.
        file.write(f'export CUDA_CACHE_PATH="{work}/kernels" CUDA_CACHE_MAXSIZE=4294967296\n')


if __name__ == "__main__":
    main()
