"""No loop reads or writes beyond its arrays: a process has Numba ask at each index."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")

WINDOWS = """
import numpy as np
from nnx import functional as F, vjp
x, weight = np.arange(98, dtype="float32").reshape(1, 2, 7, 7), np.ones((2, 2, 3, 3), "float32")
def run(function, *args, **options):
    y, pullback = vjp(lambda *args: function(*args, **options), *args)
    pullback(y)
for kernel, options in [(2, {"ceil_mode": True}), (2, {"dilation": 2}), (2, {}), (3, {"stride": 2, "padding": 1})]:
    run(F.max_pool, x, kernel_size=kernel, **options)
    run(F.max_pool, np.ones((1, 7, 7, 8), "float32"), kernel_size=kernel, layout="NHWC", **options)
for padding, dilation in [(36, 36), (1, 1), (8, 8), (6, 6), (0, 1), (0, 3), ((0, 12), (1, 6)), (20, 20)]:
    for stride in (1, 2):
        run(F.convolution, x, weight, padding=padding, dilation=dilation, stride=stride)
run(F.transposed_convolution, x, weight, padding=1, stride=2)
"""


def test_windows_stay_inside_of_images(tmp_path):
    given = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", WINDOWS], capture_output=True, text=True, env=os.environ | given)
    assert done.returncode == 0, done.stderr
