"""What happens where Numba is not to be used, or cannot be."""

import os
import subprocess
import sys

import pytest

STEP = """
import sys
import numpy as np, nnx
model = nnx.Linear(2, 1, rng=0)
optimizer = nnx.Adam(model)
x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
_, gradients = nnx.value_and_grad(lambda m: nnx.functional.mse(m(x), y))(model)
optimizer.step(gradients)
print("numba" in sys.modules and hasattr(sys.modules["numba"], "njit"), model.weight.tolist())
"""


def run(folder, **environment):
    given = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])} | environment
    return subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, env=given, check=True)


def test_a_numba_that_cannot_be_imported_is_told_and_left_out(tmp_path):
    package = tmp_path / "numba"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('Numba needs NumPy 1.0 or less')")
    found, native = run(tmp_path), run(tmp_path, NNX_KERNELS="native")
    assert "RuntimeWarning: Numba is installed but cannot be imported, so nnx runs without its loops" in found.stderr
    assert "Numba needs NumPy 1.0 or less" in found.stderr
    assert found.stdout == native.stdout
    assert native.stderr == ""


def test_a_lower_tier_for_the_process_does_not_import_it(tmp_path):
    pytest.importorskip("numba")
    native, compiled = run(tmp_path, NNX_KERNELS="native"), run(tmp_path)
    assert native.stdout.startswith("False")
    assert compiled.stdout.startswith("True")
    assert native.stdout.split(" ", 1)[1] == compiled.stdout.split(" ", 1)[1]
