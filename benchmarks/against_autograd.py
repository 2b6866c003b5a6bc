"""Gradients against HIPS autograd on NumPy, and against forward and backward written by hand in NumPy, in one run.

Every figure is the median of ratios of interleaved runs, so that a machine whose speed drifts does not favour one.
Run: ``pip install autograd && python benchmarks/against_autograd.py``.
"""

import math
import statistics
import time

import autograd
import autograd.numpy as anp
import numpy as np

import nnx

RNG = np.random.default_rng(0)


def mlp(xp, w1, b1, w2, b2, x):
    """Return the mean square of the output of two layers."""
    hidden = xp.tanh(x @ w1 + b1)
    return xp.mean((hidden @ w2 + b2) ** 2)


def logistic(xp, w, x):
    """Return the negative log-likelihood of a logistic regression whose labels are all true."""
    return xp.sum(xp.log1p(xp.exp(-(x @ w))))


def softmax_loss(xp, w, x):
    """Return the mean of a log-sum-exp."""
    z = x @ w
    z = z - xp.max(z, axis=1, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)))


def elementwise(xp, x):
    """Run a chain of elementwise functions."""
    for _ in range(5):
        x = xp.tanh(x) * 1.1 + xp.sin(x) * x
    return xp.sum(x)


def rosenbrock(xp, x):
    """Return Rosenbrock's function by slices."""
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def normalise(xp, x):
    """Normalise rows, and sum a power of them."""
    centred = x - xp.mean(x, axis=1, keepdims=True)
    return xp.sum((centred / xp.sqrt(xp.mean(centred**2, axis=1, keepdims=True) + 1e-5)) ** 3)


def recurrent(xp, w, h, x):
    """Run a recurrence of tanh over the first axis of x."""
    for row in range(x.shape[0]):
        h = xp.tanh(h @ w + x[row])
    return xp.sum(h**2)


def scalar_loop(xp, x):
    """Iterate on a single number: nothing but overhead."""
    y = x
    for _ in range(100):
        y = y * 0.9 + x * 0.1
    return y * 1.0


def broadcast(xp, a, b):
    """Broadcast rows against columns."""
    return xp.sum(xp.exp(-((a[:, None] - b[None, :]) ** 2)))


def where(xp, x):
    """Choose by a condition."""
    return xp.sum(xp.where(x > 0.0, x**2, xp.exp(x)))


def normal(*shape):
    """Return standard normal numbers."""
    return RNG.standard_normal(shape)


CASES = {
    "MLP, batch 100, 784-50-10": (
        mlp,
        (normal(784, 50) / 28, normal(50), normal(50, 10) / 7, normal(10)),
        (normal(100, 784),),
    ),
    "MLP, batch 8, 16-16-4": (mlp, (normal(16, 16), normal(16), normal(16, 4), normal(4)), (normal(8, 16),)),
    "logistic regression, 1000 x 20": (logistic, (normal(20),), (normal(1000, 20),)),
    "log-sum-exp of a product, 500 x 50 x 10": (softmax_loss, (normal(50, 10),), (normal(500, 50),)),
    "elementwise chain, 100 elements": (elementwise, (normal(100),), ()),
    "elementwise chain, 1e5 elements": (elementwise, (normal(100_000),), ()),
    "Rosenbrock, 1000 elements": (rosenbrock, (normal(1000),), ()),
    "normalisation, 256 x 128": (normalise, (normal(256, 128),), ()),
    "recurrence, 50 steps of 16": (recurrent, (normal(16, 16) / 4, normal(1, 16)), (normal(50, 16),)),
    "100 steps on one number": (scalar_loop, (np.asarray(1.5),), ()),
    "Gaussian kernel, 200 x 200": (broadcast, (normal(200), normal(200)), ()),
    "where, 1e4 elements": (where, (normal(10_000),), ()),
}


def seconds(function):
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratio(ours, theirs, rounds=31):
    """Return the median ratio of interleaved runs, and the two median times."""
    ours(), theirs()
    repeat = max(1, int(0.005 / max(seconds(theirs), 1e-6)))
    pairs = []
    for _ in range(rounds):
        a = min(seconds(ours) for _ in range(repeat))
        b = min(seconds(theirs) for _ in range(repeat))
        pairs.append((a, b))
    return statistics.median(a / b for a, b in pairs), *(
        statistics.median(column) for column in zip(*pairs, strict=True)
    )


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
    """Return loss and gradients of 784-50-10 with ReLU and cross-entropy, as an expert writes them."""
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


def chain_by_hand(x):
    """Return value and gradient of sum(tanh(exp(-x) * x + 1))."""
    e = np.exp(-x)
    t = np.tanh(e * x + 1)
    g = 1 - t * t
    return np.sum(t), g * e * (1 - x)


def against_hand():
    """Print the two comparisons with hand-written NumPy."""
    print(f"\n{'against NumPy by hand':44}{'nnx us':>10}{'by hand us':>13}{'ratio':>8}")
    rng = nnx.generator(0)
    model = nnx.Model([nnx.Linear(784, 50, rng=rng), nnx.ReLU(), nnx.Linear(50, 10, rng=rng)])
    x, target = normal(100, 784).astype(np.float32), RNG.integers(0, 10, 100)
    parameters = list(model.parameters().values())
    step = nnx.value_and_grad(lambda model, x, target: nnx.functional.cross_entropy(model(x), target))
    for left, right in zip(step(model, x, target)[1].values(), mlp_by_hand(*parameters, x, target)[1], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-6)
    rows = {
        "MLP step, 784-50-10, batch 100 (target 1.15)": (
            lambda: step(model, x, target),
            lambda: mlp_by_hand(*parameters, x, target),
        )
    }
    v = normal(1_000_000)
    chain = nnx.value_and_grad(lambda x: (xp := nnx.namespace(x)).sum(xp.tanh(xp.exp(-x) * x + 1.0)))
    np.testing.assert_allclose(chain(v)[1], chain_by_hand(v)[1], rtol=1e-9, atol=1e-12)
    rows["elementwise chain, 1e6 (target 1.25)"] = (lambda: chain(v), lambda: chain_by_hand(v))
    for name, (ours, by_hand) in rows.items():
        found, our_time, their_time = ratio(ours, by_hand)
        print(f"{name:44}{our_time * 1e6:10.1f}{their_time * 1e6:13.1f}{found:8.2f}")


if __name__ == "__main__":
    against_autograd()
    against_hand()
