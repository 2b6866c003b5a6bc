"""What happens where Numba is not to be used, is to be used later, or cannot be."""

import os
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx.autodiff import primitives

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


RAISED = """
import threading
import numpy as np, nnx
from nnx.backend.blocks import FUSED

def bodies():
    nnx.functional.relu(x)
    return [candidate[-1].tier for candidate in nnx.functional.relu._by_type[np.ndarray]]

def of_thread():
    with nnx.use_kernels("compiled"):
        raised.set(), seen.wait()
        result.append(bodies())

x, result, raised, seen = np.ones(5000, np.float32), [], threading.Event(), threading.Event()
if ORDER == "array first":
    result.append(bodies())
    assert not FUSED
    with nnx.use_kernels("compiled"):
        result.append(bodies())
else:
    thread = threading.Thread(target=of_thread)
    thread.start(), raised.wait()
    bodies()
    seen.set(), thread.join()
print(result, len(FUSED) > 0, bodies())
"""


def run(folder, code=STEP, **environment):
    given = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=given, check=True)


@pytest.mark.parametrize("error", ["ImportError", "OSError", "SystemError", "AttributeError"])
def test_a_numba_that_cannot_be_imported_gives_a_warning_and_is_left_out(tmp_path, error):
    package = tmp_path / "numba"
    package.mkdir()
    (package / "__init__.py").write_text(f"raise {error}('Numba needs NumPy 1.0 or less')")
    found, native = run(tmp_path), run(tmp_path, NNX_KERNELS="native")
    warning = "RuntimeWarning: Numba is installed but cannot be imported, so nnx runs without its compiled loops: "
    assert f"{warning}{error}: Numba needs NumPy 1.0 or less" in found.stderr
    assert found.stdout == native.stdout
    assert native.stderr == ""


def test_a_lower_tier_for_the_process_does_not_import_it(tmp_path):
    pytest.importorskip("numba")
    native, compiled = run(tmp_path, NNX_KERNELS="native"), run(tmp_path)
    assert native.stdout.startswith("False")
    assert compiled.stdout.startswith("True")
    assert native.stdout.split(" ", 1)[1] == compiled.stdout.split(" ", 1)[1]


@pytest.mark.parametrize(("order", "first"), [("array first", "[['native'], "), ("tier first, in another thread", "[")])
def test_a_tier_that_is_raised_later_is_loaded_then(order, first, tmp_path):
    pytest.importorskip("numba")
    found = run(tmp_path, f"ORDER = {order!r}" + RAISED, NNX_KERNELS="native")
    assert found.stdout.strip() == f"{first}['compiled', 'native']] True ['compiled', 'native']"


def test_a_kernel_registered_while_others_are_looked_up_is_found(monkeypatch):
    function = nnx.primitive(lambda x: x + 1)
    look_up = primitives.candidates

    def interrupted(kernels, array):
        found = look_up(kernels, array)
        if not kernels:  # as another thread might, now
            function.kernel("numpy")(lambda wanted, x: (x + 2, None))
        return found

    monkeypatch.setattr(primitives, "candidates", interrupted)
    assert function(np.ones(1)) == 2
    assert function(np.ones(1)) == 3
