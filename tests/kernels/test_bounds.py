"""No loop reads or writes beyond its arrays: a process has Numba ask at each index."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")

START = """
import numpy as np, nnx
from nnx import functional as F
def ones(*shape):
    return np.ones(shape, "float32")
def run(function, *args, **options):
    assert nnx.kernels.explain(function, *args, **options).chosen == "numpy, compiled"
    y, pullback = nnx.vjp(lambda *args: function(*args, **options), *args)
    pullback(y)
"""
WINDOWS = """
for kernel, options in [(2, {"ceil_mode": True}), (2, {"dilation": 2}), (2, {}), (3, {"stride": 2, "padding": 1})]:
    run(F.max_pool, ones(1, 7, 7, 8), kernel_size=kernel, layout="NHWC", **options)
    F.max_pool(ones(1, 2, 7, 7), kernel_size=kernel, **options)
for padding, dilation in [(36, 36), (1, 1), (8, 8), (6, 6), (0, 1), (0, 3), ((0, 12), (1, 6)), (20, 20)]:
    for stride in (1, 2):
        run(F.convolution, ones(1, 2, 7, 7), ones(2, 2, 3, 3), padding=padding, dilation=dilation, stride=stride)
run(F.transposed_convolution, ones(1, 2, 7, 7), ones(2, 2, 3, 3), padding=1, stride=2)
for padding in (0, 1, 2, 20, ((18, 0), (0, 18)), ((1, 1), (18, 18))):  # in tiles
    run(F.convolution, ones(1, 32, 18, 18), ones(32, 32, 3, 3), padding=padding)
"""
LAYERS = """
x = ones(60, 50)
for function in (F.relu, F.gelu, F.sigmoid, F.silu, F.mish, F.leaky_relu, F.softmax, F.layer_norm, F.rms_norm):
    run(function, x)
run(F.layer_norm, x, x[0], x[0])
run(F.batch_norm_training, ones(3, 4, 9, 9))
run(F.linear, ones(9, 7), ones(7, 5), ones(5))
for classes in (50, 1):
    F.cross_entropy(x[:, :classes].copy(), np.zeros(60, int))
run(F.lstm, ones(2, 4, 3), ones(3, 20), ones(5, 20), ones(20))
run(F.gru, ones(2, 4, 3), ones(3, 15), ones(5, 15), ones(15))
model = nnx.Linear(3, 2, rng=0)
gradients = nnx.grad(lambda model: F.mse(model(ones(4, 3)), ones(4, 2)))(model)
for momentum in (0.0, 0.9):
    nnx.SGD(model, 0.1, momentum=momentum).step(gradients)
for amsgrad in (False, True):
    nnx.Adam(model, amsgrad=amsgrad).step(gradients)
"""


@pytest.mark.parametrize("calls", [WINDOWS, LAYERS], ids=["windows", "layers"])
def test_loops_stay_inside_of_their_arrays(calls, tmp_path):
    given = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", START + calls]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | given)
    assert done.returncode == 0, done.stderr
