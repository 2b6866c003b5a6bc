"""The functions that the benchmarks differentiate: array API code, with arguments.

``CASES`` maps a name to the function, whose first parameter is a namespace, the arguments to differentiate for, and the
others.
"""

import numpy as np

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


def normalize(xp, x):
    """Normalize rows, and sum a power of them."""
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
    "normalization, 256 x 128": (normalize, (normal(256, 128),), ()),
    "recurrence, 50 steps of 16": (recurrent, (normal(16, 16) / 4, normal(1, 16)), (normal(50, 16),)),
    "100 steps on one number": (scalar_loop, (np.asarray(1.5),), ()),
    "Gaussian kernel, 200 x 200": (broadcast, (normal(200), normal(200)), ()),
    "where, 1e4 elements": (where, (normal(10_000),), ()),
}
