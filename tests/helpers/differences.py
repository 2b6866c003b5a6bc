"""Hold both modes of differentiation to finite differences, for real and complex numbers, on NumPy."""

import numpy as np

import nnx
from nnx.tree import tree_leaves, tree_map


def draw(rng, tree):
    def like(x):
        real = rng.normal(size=x.shape)
        drawn = real + 1j * rng.normal(size=x.shape) if np.iscomplexobj(x) else real
        return np.asarray(drawn, dtype=x.dtype)

    return tree_map(like, tree)


def pairing(first, second):
    """Return the real pairing Re(sum of g t), without a conjugate: the convention for complex numbers."""
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    return sum(float(np.real(np.sum(g * t))) for g, t in pairs)


def difference(function, arrays, direction, step=1e-4):
    """Return the derivative along a direction by a central difference of fourth order."""

    def at(t):
        return tree_leaves(function(*(x + t * step * v for x, v in zip(arrays, direction, strict=True))))

    points = zip(at(-2), at(-1), at(1), at(2), strict=True)
    return [np.asarray((a - 8 * b + 8 * c - d) / (12 * step)) for a, b, c, d in points]


def check(function, arrays, rng):
    """Hold both modes to a finite difference along a random direction."""
    direction = draw(rng, list(arrays))
    expected = difference(function, arrays, direction)
    value, tangent = nnx.jvp(function, arrays, direction)
    cotangent = draw(rng, value)
    _, pullback = nnx.vjp(function, *arrays)
    found = pullback(cotangent)
    _, derivative = nnx.linearize(function, *arrays)

    for moved in (tangent, derivative(*direction)):
        for leaf, difference_of_leaf in zip(tree_leaves(moved), expected, strict=True):
            np.testing.assert_allclose(leaf, difference_of_leaf, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(pairing(found, direction), pairing(cotangent, expected), rtol=1e-7, atol=1e-7)
    for part, array in zip(found, arrays, strict=True):
        assert (part.shape, part.dtype) == (array.shape, array.dtype)
    return cotangent, direction


def gradient(function, *args):
    return nnx.grad(lambda *args: nnx.namespace(*args).sum(function(*args)), argnums=range(len(args)))(*args)
