"""What a Jacobian-vector product costs relative to its function, in nnx, autograd, PyTorch and JAX, in one run.

Each number is the time of a jvp divided by the time of the function itself in the same library; JAX compiles both. With
large arrays it shows the work, with small ones the overhead. Libraries that are not installed are left out.
Run: ``python benchmarks/forward_mode.py``.
"""

import math
import statistics

import numpy as np
from functions import CASES, mlp, normal, normalize
from timing import ratio

import nnx


def softmax(xp, x):
    """Return the softmax along the last axis."""
    powers = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def chain(xp, x):
    """Run a short chain of elementwise functions."""
    return xp.tanh(xp.exp(-x) * x + 1.0)


def square(xp, x):
    """Return the sum of squares."""
    return xp.sum(x * x)


def product(xp, x, y):
    """Return the product of two matrices, both differentiated: that takes three products, whoever does it."""
    return x @ y


SIZES = (100, 300, 1000)
MLP = (normal(784, 256) / 28, normal(256), normal(256, 10) / 16, normal(10))
LARGE = {
    f"{name}, {n} x {n}": (function, tuple(normal(n, n) for _ in range(count)), ())
    for name, function, count in (
        ("sum of squares", square, 1),
        ("tanh(exp(-x) x + 1)", chain, 1),
        ("softmax", softmax, 1),
        ("normalization", normalize, 1),
        ("matrix product", product, 2),
    )
    for n in SIZES
} | {"MLP, batch 1000, 784-256-10": (mlp, MLP, (normal(1000, 784),))}


def by_nnx(function, wanted, rest, moved):
    """Return the plain function and its jvp as calls without arguments."""

    def call(*args):
        return function(nnx.namespace(args[0]), *args, *rest)

    return lambda: call(*wanted), lambda: nnx.jvp(call, wanted, moved)


def by_autograd(function, wanted, rest, moved):
    """Do the same with autograd, whose jvp takes one argument: here a tuple."""
    import autograd
    import autograd.numpy as anp

    def call(args):
        return function(anp, *args, *rest)

    forward = autograd.make_jvp(call)
    return lambda: call(wanted), lambda: forward(wanted)(moved)


def by_torch(function, wanted, rest, moved):
    """Do the same with PyTorch."""
    import array_api_compat.torch as xp
    import torch

    torch.set_num_threads(1)
    wanted, rest, moved = ([torch.asarray(array) for array in arrays] for arrays in (wanted, rest, moved))

    def call(*args):
        return function(xp, *args, *rest)

    return lambda: call(*wanted), lambda: torch.func.jvp(call, tuple(wanted), tuple(moved))


def by_jax(function, wanted, rest, moved):
    """Do the same with JAX, compiled and in double precision."""
    import jax

    jax.config.update("jax_enable_x64", True)
    wanted, rest, moved = (tuple(jax.numpy.asarray(array) for array in arrays) for arrays in (wanted, rest, moved))

    plain = jax.jit(lambda *args: function(jax.numpy, *args, *rest))
    forward = jax.jit(lambda args, moved: jax.jvp(lambda *a: function(jax.numpy, *a, *rest), args, moved))
    return lambda: plain(*wanted).block_until_ready(), lambda: forward(wanted, moved)[1].block_until_ready()


LIBRARIES = {"nnx": by_nnx, "autograd": by_autograd, "PyTorch": by_torch, "JAX jit": by_jax}


def table(cases):
    """Print one table; return the ratios of nnx."""
    print(f"{'jvp / function':44}{'f us':>9}" + "".join(f"{name:>10}" for name in LIBRARIES))
    found = []
    for name, (function, wanted, rest) in cases.items():
        moved = tuple(normal(*array.shape) if array.shape else np.asarray(1.0) for array in wanted)
        cells = []
        for library, make in LIBRARIES.items():
            try:
                plain, forward = make(function, wanted, rest, moved)
                own, _, time = ratio(forward, plain, rounds=15)
            except Exception as error:  # another library may lack it, which is no reason to stop
                cells.append(f"{type(error).__name__[:9]:>10}")
                continue
            if library == "nnx":
                found.append(own)
                print(f"{name:44}{time * 1e6:9.1f}", end="")
            cells.append(f"{own:10.2f}")
        print("".join(cells))
    return found


if __name__ == "__main__":
    nnx.backend.keep_freed_memory()
    ratios = table(LARGE)
    mean = math.exp(statistics.fmean(math.log(each) for each in ratios))
    print(f"{'geometric mean of nnx':53}{mean:10.2f}   (target 3)\n")
    table(CASES)
