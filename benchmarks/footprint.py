"""How long an import takes beside that of NumPy, and how large the packages are on disk."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import Spread

PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
FOLDERS = {
    "nnx": ("nnx", "array_api_compat"),
    "numpy": ("numpy", "numpy.libs"),
    "torch": ("torch",),
    "jax": ("jax", "jaxlib"),
}


def measure(rounds: int) -> dict[str, Any]:
    """Return both, in seconds and bytes, by the name of the package."""
    return {"import_seconds": import_seconds(rounds), "installed_bytes": installed_bytes()}


def import_seconds(rounds: int, names: tuple[str, ...] = ("numpy", "nnx")) -> dict[str, dict[str, float]]:
    """Return the seconds that an import takes, each time in a new process, in turns."""
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names:
            command = [sys.executable, "-c", PROGRAM.format(name)]
            found = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            if number:  # the first one may have read files from disk, and compiled them
                times[name].append(found)
    return {name: Spread.of(column)._asdict() for name, column in times.items()}


def installed_bytes() -> dict[str, int]:
    """Return the bytes of the files of packages that are installed, without compiled Python."""
    is_there = {name: importlib.util.find_spec(folders[0]) is not None for name, folders in FOLDERS.items()}
    return {name: sum(map(_bytes_of, folders)) for name, folders in FOLDERS.items() if is_there[name]}


def _bytes_of(folder: str) -> int:
    root = Path(importlib.util.find_spec(folder.removesuffix(".libs")).origin).parents[1] / folder
    files = root.rglob("*") if root.is_dir() else ()
    return sum(path.stat().st_size for path in files if path.is_file() and "__pycache__" not in path.parts)
