"""Arguments of two dtypes: what a library takes has a derivative, in the dtype of each argument."""

import itertools

import numpy as np
import pytest

import nnx
from nnx.errors import MissingRuleError
from nnx.testing import assert_close

DTYPES = ("float32", "float64", "complex64", "complex128")

FUNCTIONS = {
    "matmul": (lambda xp, x, y: xp.matmul(x, y), (3, 2), (2, 4)),
    "matmul of batches": (lambda xp, x, y: xp.matmul(x, y), (2, 3, 2), (2, 4)),
    "matmul of a batch": (lambda xp, x, y: xp.matmul(x, y), (3, 2), (5, 2, 4)),
    "matmul of a vector": (lambda xp, x, y: xp.matmul(x, y), (2,), (5, 2, 4)),
    "matmul with a vector": (lambda xp, x, y: xp.matmul(x, y), (5, 3, 2), (2,)),
    "matmul of vectors": (lambda xp, x, y: xp.matmul(x, y), (3,), (3,)),
    "@": (lambda xp, x, y: x @ y, (3, 2), (2, 4)),
    "tensordot": (lambda xp, x, y: xp.tensordot(x, y, axes=((1, 0), (0, 2))), (2, 3, 4), (3, 5, 2)),
    "tensordot of numbers": (lambda xp, x, y: xp.tensordot(x, y, axes=(-1, 0)), (2, 3), (3, 5)),
    "vecdot": (lambda xp, x, y: xp.vecdot(x, y, axis=-1), (2, 3), (2, 3)),
    "outer": (lambda xp, x, y: xp.linalg.outer(x, y), (2,), (3,)),
    "cross": (lambda xp, x, y: xp.linalg.cross(x, y), (2, 3), (2, 3)),
    "solve": (lambda xp, x, y: xp.linalg.solve(x + 3.0 * xp.eye(2, dtype=x.dtype, device=x.device), y), (2, 2), (2, 3)),
    "concat": (lambda xp, x, y: xp.concat([x, y], axis=0), (2, 3), (1, 3)),
    "stack": (lambda xp, x, y: xp.stack([x, y], axis=1), (2, 3), (2, 3)),
    "where": (lambda xp, x, y: xp.where(xp.real(x * y) > 0, x, y), (2, 3), (3,)),
    "multiply": (lambda xp, x, y: x * y, (2, 3), (3,)),
    "divide": (lambda xp, x, y: x / y, (2, 3), (3,)),
    "broadcast_arrays": (lambda xp, x, y: sum(xp.broadcast_arrays(x, y)), (2, 3), (3,)),
    "diff": (lambda xp, x, y: xp.diff(x, prepend=y), (2, 3), (2, 1)),
}


def draw(rng, shape, dtype):
    real = rng.normal(size=shape)
    return (real + 1j * rng.normal(size=shape) if dtype.startswith("complex") else real).astype(dtype)


def pairing(first, second):
    return sum(np.real(np.sum(np.asarray(a, np.complex128) * b)) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtypes", list(itertools.permutations(DTYPES, 2)), ids="-".join)
def test_every_pair(xp, name, dtypes):
    if xp.name == "jax" and dtypes != ("float32", "complex64"):
        pytest.skip("JAX compiles for every dtype")
    function, *shapes = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    call = lambda x, y: function(nnx.namespace(x, y), x, y)  # noqa: E731
    host = [draw(rng, shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    arrays = [xp.asarray(x, dtype) for x, dtype in zip(host, dtypes, strict=True)]
    try:
        plain = call(*arrays)
    except (TypeError, RuntimeError):
        with pytest.raises((TypeError, RuntimeError)):
            nnx.vjp(call, *arrays)
        return
    value, pullback = nnx.vjp(call, *arrays)
    assert value.dtype == plain.dtype
    g = draw(rng, tuple(value.shape), str(xp.to_numpy(value).dtype))
    found = pullback(xp.asarray(g, str(g.dtype)))
    for gradient, array in zip(found, arrays, strict=True):
        assert (gradient.dtype, tuple(gradient.shape)) == (array.dtype, tuple(array.shape))

    # In double precision on NumPy, along a random direction.
    direction = [draw(rng, shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    wide = [np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64) for x in host]
    at = lambda t: call(*(x + t * v for x, v in zip(wide, direction, strict=True)))  # noqa: E731
    expected = pairing([g], [(at(1e-6) - at(-1e-6)) / 2e-6])
    assert pairing([xp.to_numpy(x) for x in found], direction) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    _, tangent = nnx.jvp(call, arrays, [xp.asarray(v, str(v.dtype)) for v in direction])
    assert pairing([g], [xp.to_numpy(tangent)]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_cast_to_16_bits_is_recorded_where_the_library_has_them(xp, dtype):
    x = xp.asarray([1.0, 3.0])

    def narrow(x):
        traced = nnx.namespace(x)
        return traced.astype(x * x, getattr(traced, dtype))

    if not hasattr(xp.namespace, dtype):
        with pytest.raises(MissingRuleError, match=f"no function '{dtype}', nor has the array library"):
            nnx.vjp(narrow, x)
        return
    y, pullback = nnx.vjp(narrow, x)
    assert nnx.backend.dtype_name(y.dtype) == dtype
    assert_close(pullback(xp.asarray([1.0, 2.0], dtype)), (xp.asarray([2.0, 12.0]),))
    assert_close(nnx.jvp(narrow, (x,), (x,))[1], xp.asarray([2.0, 18.0], dtype))
