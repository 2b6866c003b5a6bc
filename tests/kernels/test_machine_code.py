"""What is kept on disk of compiled loops."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import nnx

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")

CALL = """
import numpy as np
from nnx.functional import gelu
print(*gelu(np.ones(3, np.float32)).tolist())
from nnx.kernels.numba.gelu import _gelu
print(sum(_gelu.stats.cache_hits.values()))
"""
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))\n"


def run(folder, source=CALL):
    given = {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-B", "-c", source]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | given, cwd=folder, check=True)
    assert done.stderr == ""
    numbers, hits = done.stdout.splitlines()
    return numbers, int(hits)


def test_it_is_stale_when_anything_changes_that_a_loop_is_made_of(tmp_path):
    shutil.copytree(Path(nnx.__file__).parent, tmp_path / "nnx", ignore=shutil.ignore_patterns("__pycache__"))
    first = run(tmp_path)
    assert first[1] == 0
    assert run(tmp_path) == (first[0], 1)
    seen = {first[0]}
    for name, old, new in (
        ("numba/exponential.py", "+ r + np.float32(1))", "+ r + np.float32(2))"),  # inlined
        ("numpy/gelu.py", "RATE = 0.3", "RATE = 0.4"),  # a number
    ):
        path = tmp_path / "nnx/kernels" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        if importlib.util.find_spec("resource") is not None:
            run(tmp_path, LIMIT.format(4096) + CALL)  # the index is written, and what it names is not
        numbers, hits = run(tmp_path)
        assert hits == 0
        assert numbers not in seen
        seen.add(numbers)


@pytest.mark.parametrize("limit", [10, 4096])  # for the index too, and for the code alone
def test_a_disk_without_room_does_not_end_a_call(tmp_path, limit):
    pytest.importorskip("resource", reason="this system limits no files")
    found, hits = run(tmp_path, LIMIT.format(limit) + CALL)
    assert hits == 0
    assert not [*tmp_path.rglob("*.nbc")]
    assert run(tmp_path) == (found, 0)
    assert run(tmp_path) == (found, 1)
    for path in tmp_path.rglob("gelu*.nb?"):
        path.write_bytes(path.read_bytes()[:50])
    assert run(tmp_path) == (found, 0)
    assert run(tmp_path) == (found, 1)


def test_a_numba_with_another_cache_keeps_nothing(monkeypatch):
    from nnx.kernels.numba import compiling

    asked = []

    def njit(loop, *, cache=False, **options):
        asked.append(cache)
        return SimpleNamespace(_cache=SimpleNamespace(_cache_file=SimpleNamespace(_index_path="")))

    monkeypatch.setattr(compiling, "njit", njit)
    compiling.compiled(len)
    assert asked == [True, False]
