"""Gradients against HIPS autograd on NumPy, and against hand-written forward and backward passes in NumPy, in one run.

Each ratio is the median over interleaved runs, so that a machine whose speed drifts favors neither side.
Run: ``pip install autograd && python benchmarks/against_autograd.py``.
"""

import math
import statistics

import autograd
import autograd.numpy as anp
import numpy as np
from functions import CASES, RNG, normal
from measure import ratio, settle_allocator

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


def mlp_by_hand(w1, b1, w2, b2, x, target):
    """Return loss and gradients of one hidden layer with ReLU and cross-entropy, as an expert would write them."""
    before = x @ w1 + b1
    hidden = np.maximum(before, 0)
    logits = hidden @ w2 + b2
    logits -= logits.max(axis=1, keepdims=True)
    powers = np.exp(logits)
    total = powers.sum(axis=1, keepdims=True)
    rows = np.arange(len(target))
    loss = np.mean(np.log(total[:, 0]) - logits[rows, target])
    g = powers / total
    g[rows, target] -= 1
    g /= len(target)
    g_hidden = g @ w2.T
    g_hidden *= before > 0
    return loss, (x.T @ g_hidden, g_hidden.sum(axis=0), hidden.T @ g, g.sum(axis=0))


def mlp_steps(width):
    """Return forward and backward of a network with one hidden layer, by nnx and by hand."""
    rng = nnx.generator(0)
    model = nnx.Model([nnx.Linear(784, width, rng=rng), nnx.ReLU(), nnx.Linear(width, 10, rng=rng)])
    x, target = normal(100, 784).astype(np.float32), RNG.integers(0, 10, 100)
    parameters = list(model.parameters().values())
    step = nnx.value_and_grad(lambda model, x, target: nnx.functional.cross_entropy(model(x), target))
    for left, right in zip(step(model, x, target)[1].values(), mlp_by_hand(*parameters, x, target)[1], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-6)
    return lambda: step(model, x, target), lambda: mlp_by_hand(*parameters, x, target)


def chain_by_hand(x):
    """Return value and gradient of sum(tanh(exp(-x) * x + 1))."""
    e = np.exp(-x)
    t = np.tanh(e * x + 1)
    g = 1 - t * t
    return np.sum(t), g * e * (1 - x)


def against_hand():
    """Print the two comparisons with hand-written NumPy."""
    print(f"\n{'against NumPy by hand':44}{'nnx us':>10}{'by hand us':>13}{'ratio':>8}")
    rows = {f"MLP step, 784-{width}-10, batch 100 (target 1.15)": mlp_steps(width) for width in (50, 100, 200)}
    v = normal(1_000_000)
    chain = nnx.value_and_grad(lambda x: (xp := nnx.namespace(x)).sum(xp.tanh(xp.exp(-x) * x + 1.0)))
    np.testing.assert_allclose(chain(v)[1], chain_by_hand(v)[1], rtol=1e-9, atol=1e-12)
    rows["elementwise chain, 1e6 (target 1.25)"] = (lambda: chain(v), lambda: chain_by_hand(v))
    for name, (ours, by_hand) in rows.items():
        found, our_time, their_time = ratio(ours, by_hand)
        print(f"{name:44}{our_time * 1e6:10.1f}{their_time * 1e6:13.1f}{found:8.2f}")


if __name__ == "__main__":
    settle_allocator()
    against_autograd()
    against_hand()
