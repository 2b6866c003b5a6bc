"""The slope of every elementwise function over the whole range of its dtype: subnormal, tiny, huge and infinite."""

import itertools
import math

import numpy as np
import pytest
from differences import gradient

import nnx
from nnx.autodiff.rules.elementwise import ELEMENTWISE

WIDE = np.longdouble
inf = math.inf


def fits(dtype):
    """Tell whether NumPy has a dtype with the range to square any number of this one."""
    return np.finfo(WIDE).maxexp > 2 * np.finfo(dtype).maxexp


def least(xp, dtype):
    """Return the smallest number: JAX takes subnormal ones for 0."""
    return np.finfo(dtype).smallest_normal if xp.name == "jax" else np.finfo(dtype).smallest_subnormal


def everything(xp, dtype):
    limits = np.finfo(dtype)
    few, many = least(xp, dtype), limits.max
    exponents = np.linspace(math.log2(float(limits.smallest_normal)), math.log2(float(many)), 25)[:-1]
    powers = [1.1 * 2.0**exponent for exponent in exponents]
    near_one = [1.0, 1.0 - limits.epsneg, 1.0 + limits.eps, 0.75, 1.5, 3.0, 10.0]
    edges = [0.0, few, 3 * few, limits.smallest_normal, 0.5 * float(many), 0.75 * float(many), many, inf]
    points = np.asarray([*powers, *near_one, *edges], dtype)
    return np.unique(np.concatenate([-points, points]))


def between(low, high):
    return lambda x: x[(x > low) & (x < high)]


def anywhere(x):
    return x


UNARY = {
    "abs": (anywhere, np.sign),
    "acos": (between(-1, 1), lambda x: -1 / np.sqrt((1 - x) * (1 + x))),
    "acosh": (between(1, inf), lambda x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1))),
    "asin": (between(-1, 1), lambda x: 1 / np.sqrt((1 - x) * (1 + x))),
    "asinh": (anywhere, lambda x: 1 / np.sqrt(1 + x * x)),
    "atan": (anywhere, lambda x: 1 / (1 + x * x)),
    "atanh": (between(-1, 1), lambda x: 1 / ((1 - x) * (1 + x))),
    # Of huge numbers each library reduces the angle in its own way.
    "cos": (between(-100, 100), lambda x: -np.sin(x)),
    "cosh": (anywhere, np.sinh),
    "exp": (anywhere, np.exp),
    "expm1": (anywhere, np.exp),
    "log": (between(0, inf), lambda x: 1 / x),
    "log10": (between(0, inf), lambda x: 1 / (x * np.log(WIDE(10)))),
    "log1p": (between(-1, inf), lambda x: 1 / (1 + x)),
    "log2": (between(0, inf), lambda x: 1 / (x * np.log(WIDE(2)))),
    "negative": (anywhere, lambda x: -np.ones_like(x)),
    "positive": (anywhere, np.ones_like),
    "reciprocal": (lambda x: x[x != 0], lambda x: -1 / (x * x)),
    "sin": (between(-100, 100), np.cos),
    "sinh": (anywhere, np.cosh),
    "sqrt": (between(0, inf), lambda x: 1 / (2 * np.sqrt(x))),
    "square": (anywhere, lambda x: 2 * x),
    "tan": (between(-100, 100), lambda x: 1 / np.cos(x) ** 2),
    # Its rule keeps the output alone: 1 - y * y is right to a rounding of 1. That of atan gives 0 for what is less than
    # a normal number, but in float16.
    "tanh": (anywhere, lambda x: 1 / np.cosh(x) ** 2),
}


def direction(x, other):
    length = np.hypot(x, other)
    return np.where(np.isinf(x), np.sign(x), np.where(np.isinf(x), 0, x) / np.where(length == 0, 1, length))


def angle(x, other):
    square = x * x + other * other
    return np.where(square == 0, 0, np.where(np.isinf(square), 0, x) / np.where(square == 0, 1, square))


def share(x, other):
    same = x == other
    return np.where(same, 0.5, 1 / (1 + np.exp(np.where(same, 0, other) - np.where(same, 0, x))))


def larger(x, other):
    return (x > other) + 0.5 * (x == other)


BINARY = {
    "add": (lambda a, b: np.ones_like(a), lambda a, b: np.ones_like(a)),
    "atan2": (lambda a, b: angle(b, a), lambda a, b: -angle(a, b)),
    "copysign": (lambda a, b: np.copysign(1, b) * np.sign(a), lambda a, b: np.zeros_like(a)),
    "hypot": (direction, lambda a, b: direction(b, a)),
    "logaddexp": (share, lambda a, b: share(b, a)),
    "maximum": (larger, lambda a, b: larger(b, a)),
    "minimum": (lambda a, b: larger(b, a), larger),
    "multiply": (lambda a, b: b, lambda a, b: a),
    "subtract": (lambda a, b: np.ones_like(a), lambda a, b: -np.ones_like(a)),
}
ELSEWHERE = {"clip", "conj", "imag", "real", "where", "divide", "pow", "remainder"}


def test_all_are_here():
    assert set(UNARY) | set(BINARY) | ELSEWHERE == set(ELEMENTWISE)


def hold(xp, found, expected, dtype, ulps=6.0, atol=0.0):
    """Compare in units of the last place, or of the smallest number."""
    limits = np.finfo(dtype)
    found = xp.to_numpy(found).astype(WIDE)
    with np.errstate(all="ignore"):
        rounded = expected.astype(dtype)
        infinite = np.isinf(rounded) & (np.isinf(found) | (np.abs(found) > 0.99 * WIDE(limits.max)))
        unit = np.maximum(np.abs(expected) * limits.eps, WIDE(least(xp, dtype)))
        allowed = ulps * unit + atol
        wrong = ~infinite & ~(np.abs(found - expected) <= allowed)
    assert not wrong.any(), [(i, float(found[i]), float(expected[i])) for i in np.flatnonzero(wrong)[:5]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_unary(xp, name, dtype):
    if not fits(dtype) or (dtype == "float16" and xp.name == "array-api-strict"):
        pytest.skip("no wider dtype to compare with, or no such dtype")
    domain, slope = UNARY[name]
    x = domain(everything(xp, dtype))
    with np.errstate(all="ignore"):
        (found,) = gradient(lambda x: getattr(nnx.namespace(x), name)(x), xp.asarray(x, dtype))
        expected = slope(x.astype(WIDE))
    limits = np.finfo(dtype)
    atol = {"tanh": 2 * limits.eps, "atan": 0.0 if dtype == "float16" else limits.smallest_normal}.get(name, 0.0)
    hold(xp, found, expected, dtype, atol=atol)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_binary(xp, name, dtype):
    if not fits(dtype) or (dtype == "float16" and xp.name == "array-api-strict"):
        pytest.skip("no wider dtype to compare with, or no such dtype")
    a, b = np.asarray(list(itertools.product(everything(xp, dtype), repeat=2)), dtype).T
    if name == "hypot":  # its rule divides by the value, which may be subnormal or have overflowed
        length, limits = np.hypot(a.astype(WIDE), b), np.finfo(dtype)
        kept = (length == 0) | (length == inf) | ((length >= limits.smallest_normal) & (length < 0.99 * limits.max))
        a, b = a[kept], b[kept]
    with np.errstate(all="ignore"):
        found = gradient(lambda a, b: getattr(nnx.namespace(a), name)(a, b), xp.asarray(a, dtype), xp.asarray(b, dtype))
        a, b = a.astype(WIDE), b.astype(WIDE)
        # A subnormal number divided by a larger one has its rounding error, which is then divided again.
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.finfo(dtype).smallest_normal)
        atol = least(xp, dtype) / size if name == "atan2" else 0.0
        for part, slope in zip(found, BINARY[name], strict=True):
            hold(xp, part, slope(a, b), dtype, atol=atol)
