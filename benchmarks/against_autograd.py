"""Gradients against HIPS autograd on NumPy, and of a long chain against NumPy by hand, in one run.

Each ratio is the median over interleaved runs, so that a machine whose speed drifts favors neither side.
Run: ``pip install autograd && python benchmarks/against_autograd.py``.
"""

import math
import statistics

import autograd
import autograd.numpy as anp
import numpy as np
from functions import CASES, normal
from timing import ratio

import nnx


def against_autograd():
    """Print the table of gradients; return the ratios."""
    print(f"{'gradient of':44}{'nnx us':>10}{'autograd us':>13}{'ratio':>8}")
    ratios = []
    for name, (function, wanted, rest) in CASES.items():
        numbers = tuple(range(len(wanted)))
        ours = nnx.value_and_grad(lambda *args, f=function: f(nnx.namespace(args[0]), *args), argnums=numbers)
        theirs = autograd.value_and_grad(lambda wanted, *rest, f=function: f(anp, *wanted, *rest))
        a, b = ours(*wanted, *rest)[1], theirs(wanted, *rest)[1]
        for left, right in zip(a, b, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)
        found, our_time, their_time = ratio(
            lambda o=ours, w=wanted, r=rest: o(*w, *r), lambda t=theirs, w=wanted, r=rest: t(w, *r)
        )
        ratios.append(found)
        print(f"{name:44}{our_time * 1e6:10.1f}{their_time * 1e6:13.1f}{found:8.2f}")
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios))
    print(f"{'geometric mean':67}{mean:8.2f}   (target 0.60; slowest {max(ratios):.2f}, target 1)")


def chain_by_hand(x):
    """Return value and gradient of sum(tanh(exp(-x) * x + 1))."""
    e = np.exp(-x)
    t = np.tanh(e * x + 1)
    g = 1 - t * t
    return np.sum(t), g * e * (1 - x)


def against_hand():
    """Print the comparison with hand-written NumPy."""
    print(f"\n{'against NumPy by hand':44}{'nnx us':>10}{'by hand us':>13}{'ratio':>8}")
    v = normal(1_000_000)
    chain = nnx.value_and_grad(lambda x: (xp := nnx.namespace(x)).sum(xp.tanh(xp.exp(-x) * x + 1.0)))
    np.testing.assert_allclose(chain(v)[1], chain_by_hand(v)[1], rtol=1e-9, atol=1e-12)
    found, our_time, their_time = ratio(lambda: chain(v), lambda: chain_by_hand(v))
    name = "elementwise chain, 1e6 (target 1.25)"
    print(f"{name:44}{our_time * 1e6:10.1f}{their_time * 1e6:13.1f}{found:8.2f}")


if __name__ == "__main__":
    nnx.backend.keep_freed_memory()
    against_autograd()
    against_hand()
