"""Every function that moves elements or multiplies matrices, on all shapes that have a 0 or a 1, on every library.

What the library takes must be taken under a transform too, with the same value, and have the derivative of brute force;
what it refuses is refused.
"""

import numpy as np
import pytest

import nnx
from nnx.backend import device_of
from nnx.tree import tree_leaves

SHAPES = [(), (0,), (1,), (2,), (0, 2), (2, 0), (1, 2), (2, 1), (2, 3), (3, 2), (0, 0), (1, 1), (2, 0, 3), (0, 2, 2)]
SHAPES += [(1, 2, 2), (2, 1, 0), (3, 1, 2)]


def numbers(xp, like, values):
    return xp.asarray(values, dtype=xp.int64, device=device_of(like))


ONE = {
    "flip": lambda xp, x: xp.flip(x),
    "flip the first": lambda xp, x: xp.flip(x, axis=0),
    "roll": lambda xp, x: xp.roll(x, 1),
    "roll the last": lambda xp, x: xp.roll(x, -4, axis=-1),
    "roll two": lambda xp, x: xp.roll(x, (1, -1), axis=(0, 1)),
    "reshape": lambda xp, x: xp.reshape(x, (-1,)),
    "reshape reversed": lambda xp, x: xp.reshape(x, tuple(reversed(x.shape))),
    "squeeze": lambda xp, x: xp.squeeze(x, axis=0),
    "squeeze two": lambda xp, x: xp.squeeze(x, axis=(0, -1)),
    "expand_dims": lambda xp, x: xp.expand_dims(x, axis=-1),
    "permute_dims": lambda xp, x: xp.permute_dims(x, tuple(reversed(range(x.ndim)))),
    "permute_dims from the end": lambda xp, x: xp.permute_dims(x, (-1, *range(x.ndim - 1))),
    "moveaxis": lambda xp, x: xp.moveaxis(x, (0, -1), (1, 0)),
    "matrix_transpose": lambda xp, x: xp.matrix_transpose(x),
    "tril": lambda xp, x: xp.tril(x, k=-1),
    "triu": lambda xp, x: xp.triu(x, k=1),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x, (2, *x.shape)),
    "broadcast_to nothing": lambda xp, x: xp.broadcast_to(x, (0, *x.shape)),
    "broadcast_arrays": lambda xp, x: xp.broadcast_arrays(x, x * x),
    "concat": lambda xp, x: xp.concat([x, x, x * x], axis=0),
    "concat the last": lambda xp, x: xp.concat([x, x * 2], axis=-1),
    "concat flat": lambda xp, x: xp.concat([x, x * 2], axis=None),
    "stack": lambda xp, x: xp.stack([x, x * x], axis=-1),
    "unstack": lambda xp, x: xp.unstack(x, axis=-1),
    "tile": lambda xp, x: xp.tile(x, (2, 1)),
    "tile nothing": lambda xp, x: xp.tile(x, (0, 2)),
    "tile none": lambda xp, x: xp.tile(x, ()),
    "repeat": lambda xp, x: xp.repeat(x, 2),
    "repeat the first": lambda xp, x: xp.repeat(x, 3, axis=0),
    "repeat never": lambda xp, x: xp.repeat(x, 0, axis=-1),
    "take": lambda xp, x: xp.take(x, numbers(xp, x, [-1, 0]), axis=-1),
    "take nothing": lambda xp, x: xp.take(x, numbers(xp, x, []), axis=0),
    "take flat": lambda xp, x: xp.take(x, numbers(xp, x, [0, 0, -1])),
    "take a matrix": lambda xp, x: xp.take(x, numbers(xp, x, [[0, 0], [-1, 0]]), axis=0),
    "take_along_axis": lambda xp, x: xp.take_along_axis(x, numbers(xp, x, np.zeros((*x.shape[:-1], 3))), axis=-1),
    "sort": lambda xp, x: xp.sort(x, descending=True),
    "diff": lambda xp, x: xp.diff(x),
    "diff twice": lambda xp, x: xp.diff(x, axis=0, n=2),
    "diff never": lambda xp, x: xp.diff(x, n=0, prepend=x, append=x),
    "diff joined": lambda xp, x: xp.diff(x, prepend=x, append=x * x),
    "diff from a number": lambda xp, x: xp.diff(x, prepend=xp.sum(x)),
    "meshgrid": lambda xp, x: xp.meshgrid(x, x * x),
    "meshgrid ij": lambda xp, x: xp.meshgrid(x, x * x, x, indexing="ij"),
    "asarray": lambda xp, x: xp.asarray(x, copy=True),
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x),
    "cumulative_sum from 0": lambda xp, x: xp.cumulative_sum(x, axis=-1, include_initial=True),
    "cumulative_prod": lambda xp, x: xp.cumulative_prod(x),
    "cumulative_prod from 1": lambda xp, x: xp.cumulative_prod(x, axis=-1, include_initial=True),
    "getitem": lambda xp, x: x[..., 0],
    "getitem step": lambda xp, x: x[::2, ...],
    "getitem none": lambda xp, x: x[None, ..., None],
}
TWO = {
    "matmul": lambda xp, x, y: xp.matmul(x, y),
    "@": lambda xp, x, y: x @ y,
    "tensordot 0": lambda xp, x, y: xp.tensordot(x, y, axes=0),
    "tensordot 1": lambda xp, x, y: xp.tensordot(x, y, axes=1),
    "tensordot 2": lambda xp, x, y: xp.tensordot(x, y, axes=2),
    "tensordot two axes": lambda xp, x, y: xp.tensordot(x, y, axes=((0, -1), (-1, 0))),
    "tensordot one pair": lambda xp, x, y: xp.tensordot(x, y, axes=[[-1], [0]]),
    "tensordot numbers": lambda xp, x, y: xp.tensordot(x, y, axes=(-1, 0)),
    "tensordot none": lambda xp, x, y: xp.tensordot(x, y, axes=((), ())),
    "vecdot": lambda xp, x, y: xp.vecdot(x, y),
    "outer": lambda xp, x, y: xp.linalg.outer(x, y),
    "concat": lambda xp, x, y: xp.concat([x, y], axis=0),
    "concat the last": lambda xp, x, y: xp.concat([x, y], axis=-1),
    "meshgrid": lambda xp, x, y: xp.meshgrid(x, y),
    "diff": lambda xp, x, y: xp.diff(x, prepend=y),
    "diff the first": lambda xp, x, y: xp.diff(x, append=y, axis=0),
    "linear": lambda xp, x, y: nnx.functional.linear(x, y),
    "where": lambda xp, x, y: xp.where(xp.ones((), dtype=xp.bool, device=device_of(x)), x, y),
}
TAKES_MORE = ("diff", "meshgrid", "repeat")  # than torch and JAX, as NumPy does


def check(library, name, function, shapes):
    rng = np.random.default_rng(0)
    host = [np.asarray(rng.normal(size=shape)) for shape in shapes]
    call = lambda *arrays: function(nnx.namespace(*arrays), *arrays)  # noqa: E731
    make = lambda arrays: [library.asarray(a, "float64") for a in arrays]  # noqa: E731
    arrays = make(host)
    try:
        plain = tree_leaves(call(*arrays))
    except Exception:
        if not (library.name in ("torch", "jax") and name.startswith(TAKES_MORE)):
            with pytest.raises(Exception):  # noqa: B017  whatever the library raises
                nnx.vjp(call, *arrays)
        return
    value, pullback = nnx.vjp(call, *arrays)
    outputs = tree_leaves(value)
    for found, expected in zip(outputs, plain, strict=True):
        assert tuple(found.shape) == tuple(expected.shape)
        np.testing.assert_array_equal(library.to_numpy(found), library.to_numpy(expected))
    weights = [rng.normal(size=tuple(o.shape)) for o in outputs]
    cotangent = make(weights)
    found = pullback(type(value)(cotangent) if isinstance(value, (tuple, list)) else cotangent[0])

    def weighted(arrays):
        parts = tree_leaves(call(*make(arrays)))
        return sum(float(np.sum(w * library.to_numpy(p))) for w, p in zip(weights, parts, strict=True))

    for number, gradient in enumerate(found):
        expected = np.zeros(shapes[number])
        for index in np.ndindex(*shapes[number]):
            step = np.zeros(shapes[number])
            step[index] = 1e-3
            up, down = ([*host[:number], host[number] + s, *host[number + 1 :]] for s in (step, -step))
            expected[index] = (weighted(up) - weighted(down)) / 2e-3
        assert tuple(gradient.shape) == shapes[number]
        np.testing.assert_allclose(library.to_numpy(gradient), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ONE)
def test_one_array(xp, name):
    for shape in SHAPES if xp.name != "jax" else [(), (0,), (1,), (0, 2), (2, 1)]:  # JAX compiles for every shape
        check(xp, name, ONE[name], (shape,))


@pytest.mark.parametrize("name", TWO)
def test_two_arrays(xp, name):
    if xp.name == "jax":
        pytest.skip("compiles for every pair of shapes")
    for first in SHAPES:
        for second in SHAPES:
            check(xp, name, TWO[name], (first, second))
