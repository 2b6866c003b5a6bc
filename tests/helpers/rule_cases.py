"""A row for each function with a derivative, and each shape, option and kind of number that its rule tells apart."""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pytest

import nnx
from nnx.backend import device_of

REAL, COMPLEX = "float64", "complex128"
BOTH = (REAL, COMPLEX)
INF = float("inf")


class Case(NamedTuple):
    """``call(xp, *arrays)``, the shapes of the arrays, and the interval that their real parts are drawn from.

    The function depends on no choice that a library is free to make, such as the sign of an eigenvector.
    ``no_engine`` names libraries whose own derivative is missing or defined otherwise.
    """

    name: str
    label: str
    call: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str
    low: float
    high: float
    no_engine: tuple[str, ...]

    def arrays(self) -> list[Any]:
        rng = np.random.default_rng(len(self.label))
        return [self.draw(rng, shape) for shape in self.shapes]

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
        real = np.asarray(rng.uniform(self.low, self.high, shape))
        return real + 1j * rng.uniform(-0.6, 0.6, shape) if self.dtype == COMPLEX else real


def standard(name: str, **options: Any) -> Callable[..., Any]:
    return lambda xp, *arrays, **more: reduce(getattr, name.split("."), xp)(*arrays, **options, **more)


def rows(name, *shapes, call=None, kinds=(REAL,), low=0.3, high=0.9, label="", no_engine=(), **options):
    """Return a case for each kind of number; ``options`` are keywords of the function, ``call`` replaces its call."""
    shapes = shapes or ((2, 3),)
    parts = [name, label, *(f"{key}={value}" for key, value in options.items())]
    if any(shape != (2, 3) for shape in shapes):
        parts.append("_".join("x".join(map(str, shape)) or "scalar" for shape in shapes))
    label = "-".join(part for part in parts if part)
    call = call or standard(name, **options)
    no_engine = (no_engine,) if isinstance(no_engine, str) else no_engine
    return [
        Case(name, label + ("-complex" if kind == COMPLEX else ""), call, shapes, kind, low, high, no_engine)
        for kind in kinds
    ]


def adjoint(xp, x):
    return xp.conj(x).mT


def hermitian(xp, x):
    return x + adjoint(xp, x)


def positive(xp, x):
    return x @ adjoint(xp, x) + xp.eye(x.shape[-2], dtype=x.dtype, device=device_of(x))


def shifted(xp, x):
    """Return a matrix that is far from singular."""
    return x + 2.0 * xp.eye(x.shape[-2], x.shape[-1], dtype=x.dtype, device=device_of(x))


def indices(xp, like, values):
    return xp.asarray(values, device=device_of(like))


def weights(xp, like):
    return 1.0 + xp.astype(xp.arange(like.shape[-1], device=device_of(like)), like.dtype)


def of_eigenvectors(xp, x):
    values, vectors = xp.linalg.eigh(hermitian(xp, x))
    return values, (vectors * weights(xp, values)) @ adjoint(xp, vectors)


def of_general_eigenvectors(xp, x):
    # Sums over the eigenvalues, whose order is the library's.
    values, vectors = xp.linalg.eig(x)
    size = xp.abs(values) ** 2
    lengths = xp.sum(xp.abs(vectors) ** 2 * size[..., None, :], axis=-1)
    return (vectors * xp.exp(values)[..., None, :]) @ xp.linalg.inv(vectors), lengths


def of_singular_vectors(xp, x, **options):
    u, values, vh = xp.linalg.svd(x, **options)
    count = values.shape[-1]
    product = (u[..., :count] * weights(xp, values)) @ vh[..., :count, :]
    rest_u, rest_v = u[..., count:], vh[..., count:, :]
    return values, product, rest_u @ adjoint(xp, rest_u), adjoint(xp, rest_v) @ rest_v


def of_qr(xp, x, **options):
    q, r = xp.linalg.qr(x, **options)
    count = min(x.shape[-2:])
    return q[..., :count], r, q[..., count:] @ adjoint(xp, q[..., count:])


def one(name, index, **options):
    """Use one of several outputs, so that the others have no cotangent."""
    return lambda xp, x: standard(name, **options)(xp, x)[index]


UNARY = [
    "abs",
    "acos",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "conj",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "negative",
    "positive",
    "reciprocal",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
]
BINARY = [
    "add",
    "atan2",
    "copysign",
    "divide",
    "hypot",
    "logaddexp",
    "maximum",
    "minimum",
    "multiply",
    "pow",
    "remainder",
    "subtract",
]
COMPLEX_BINARY = ["add", "divide", "multiply", "pow", "subtract"]
BROADCAST = ((2, 3), (3,))
BATCH = (2, 3, 4)


def reductions(name, kinds=(REAL,), **further):
    axes = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"axis": (-1, 1)}]
    return [case for options in axes for case in rows(name, BATCH, kinds=kinds, **further, **options)]


def elementwise():
    for name in UNARY:
        # To JAX the direction of a complex number is a constant.
        yield from rows(name, kinds=BOTH, no_engine=("jax",) if name == "sign" else ())
    yield from rows("acosh", low=1.5, high=2.0, kinds=BOTH)
    yield from rows("imag", kinds=(COMPLEX,))
    yield from rows("real", kinds=(COMPLEX,))
    yield from rows("sin", ())
    for name in BINARY:
        yield from rows(name, *BROADCAST, kinds=BOTH if name in COMPLEX_BINARY else (REAL,))
    for name in ("add", "maximum", "multiply", "pow", "subtract", "divide", "hypot"):
        function = standard(name)
        yield from rows(name, call=lambda xp, x, f=function: f(xp, x, 0.7), label="number")
        yield from rows(name, call=lambda xp, x, f=function: f(xp, 0.7, x), label="of-number")
    yield from rows("pow", call=lambda xp, x: x**2, label="square", kinds=BOTH)
    yield from rows("pow", call=lambda xp, x: x**-1.5, label="operator", kinds=BOTH)
    yield from rows("pow", call=lambda xp, x: (-2.5) ** x, label="negative-base", kinds=(COMPLEX,))
    yield from rows("pow", call=lambda xp, x: (0.5 + 1j) ** x, label="complex-base", kinds=(COMPLEX,))
    yield from rows("multiply", call=lambda xp, x: (x * (1.0 + 2j)) * xp.real(x), label="mixed", kinds=(COMPLEX,))
    yield from rows("remainder", low=1.2, high=1.8, call=lambda xp, x: xp.remainder(-x, 0.7), label="negative")
    yield from rows("clip", (2, 3), (3,), (2, 1), call=lambda xp, x, low, high: xp.clip(x, low, high + 0.3))
    yield from rows("clip", call=lambda xp, x: xp.clip(x, max=0.6), label="number")
    yield from rows("where", *BROADCAST, call=lambda xp, x, y: xp.where(xp.real(x) > 0.6, x, y), kinds=(COMPLEX,))
    yield from rows("where", *BROADCAST, call=lambda xp, x, y: xp.where(x > y, x, y))
    yield from rows("where", call=lambda xp, x: xp.where(x > 0.6, x, 0.5), label="number")


def statistical():
    for name in ("sum", "mean", "max", "min", "prod", "var", "std"):
        yield from reductions(name)
    for name in ("sum", "mean", "prod"):
        yield from rows(name, axis=1, kinds=(COMPLEX,))
    # torch warns that it drops the imaginary part of the cotangent of a real number.
    for name in ("sum", "prod"):
        promoted = lambda xp, x, name=name: getattr(xp, name)(x, dtype=xp.complex128)  # noqa: E731
        yield from rows(name, call=promoted, label="dtype", no_engine="torch")
    for name in ("var", "std"):
        yield from rows(name, axis=1, correction=1)
    for name in ("cumulative_sum", "cumulative_prod"):
        yield from rows(name, BATCH, axis=1)
        yield from rows(name, axis=-1, include_initial=True, kinds=BOTH)
        yield from rows(name, (4,))
        promoted = lambda xp, x, name=name: getattr(xp, name)(x, axis=0, dtype=xp.complex128)  # noqa: E731
        yield from rows(name, call=promoted, label="dtype", no_engine="torch")


def manipulation():
    # torch warns that it differentiates asarray.
    yield from rows("asarray", call=lambda xp, x: xp.asarray(x, copy=True), no_engine="torch")
    yield from rows("astype", call=lambda xp, x: xp.astype(x, xp.complex128))
    yield from rows("broadcast_to", (2, 1), call=lambda xp, x: xp.broadcast_to(x, shape=(4, 2, 3)))
    yield from rows("broadcast_arrays", (2, 1), (3,))
    yield from rows("concat", (2, 3), (2, 1), call=lambda xp, x, y: xp.concat([x, y, 1j * x], axis=1))
    yield from rows("concat", (2, 3), (4,), call=lambda xp, x, y: xp.concat([x, y], axis=None), label="flat")
    yield from rows("concat", (2, 3), (1, 3), call=lambda xp, x, y: xp.concat([x, y], axis=-2), label="negative")
    yield from rows("diff", BATCH, axis=1)
    yield from rows(
        "diff", (2, 3), (2, 1), (2, 1), call=lambda xp, x, y, z: xp.diff(x, axis=-1, n=2, prepend=y, append=z)
    )
    yield from rows("expand_dims", axis=1)
    yield from rows("expand_dims", axis=-1)
    yield from rows("flip", axis=-1, kinds=BOTH)
    yield from rows("flip")
    yield from rows("flip", BATCH, axis=(0, -1))
    yield from rows("matrix_transpose", BATCH)
    yield from rows("matrix_transpose", call=lambda xp, x: x.T, label="T")
    yield from rows("matrix_transpose", BATCH, call=lambda xp, x: x.mT, label="mT")
    yield from rows("meshgrid", (2,), (3,), (4,))
    yield from rows("meshgrid", (2,), (3,), indexing="ij")
    yield from rows("moveaxis", BATCH, call=lambda xp, x: xp.moveaxis(x, 0, -1))
    yield from rows("moveaxis", BATCH, call=lambda xp, x: xp.moveaxis(x, (0, 1), (2, 0)), label="several")
    yield from rows("permute_dims", BATCH, call=lambda xp, x: xp.permute_dims(x, axes=(2, 0, 1)))
    yield from rows("repeat", call=lambda xp, x: xp.repeat(x, 2, axis=1))
    yield from rows("repeat", call=lambda xp, x: xp.repeat(x, 2), label="flat")
    yield from rows("reshape", call=lambda xp, x: xp.reshape(x, shape=(3, -1)))
    yield from rows("reshape", call=lambda xp, x: xp.reshape(x, (6,), copy=True), label="copy")
    yield from rows("roll", call=lambda xp, x: xp.roll(x, shift=1, axis=-1))
    yield from rows("roll", call=lambda xp, x: xp.roll(x, 2), label="flat")
    yield from rows("roll", call=lambda xp, x: xp.roll(x, (1, -1), axis=(0, 1)), label="several")
    yield from rows("sort")
    yield from rows("sort", axis=0, descending=True)
    yield from rows("squeeze", (2, 1, 3), axis=1)
    yield from rows("squeeze", (1, 2, 1), axis=(0, -1))
    for axis in (1, -1):
        yield from rows(
            "stack", *((2, 3),) * 2, call=lambda xp, x, y, a=axis: xp.stack([x, y], axis=a), label=str(axis)
        )
    yield from rows("tile", call=lambda xp, x: xp.tile(x, (2, 1, 2)))
    yield from rows("tile", BATCH, call=lambda xp, x: xp.tile(x, (2,)), label="short")
    yield from rows("tril", k=1)
    yield from rows("triu", BATCH, k=-1)
    yield from rows("unstack", BATCH, axis=-2)


def indexing():
    taken = {"rows": (0, [0, 1, 1]), "columns": (-1, [2, 0]), "none": (1, [])}
    for label, (axis, places) in taken.items():
        yield from rows(
            "take",
            BATCH,
            call=lambda xp, x, a=axis, p=places: xp.take(x, xp.astype(indices(xp, x, p), xp.int32), axis=a),
            label=label,
            kinds=BOTH,
        )
    yield from rows("take", (3,), call=lambda xp, x: xp.take(x, indices(xp, x, [2, 0, 2, 2])))
    yield from rows(
        "take_along_axis",
        call=lambda xp, x: xp.take_along_axis(x, indices(xp, x, [[0, 0, 2, 0], [1, 2, 2, 2]]), axis=1),
    )
    yield from rows(
        "take_along_axis",
        call=lambda xp, x: xp.take_along_axis(x, indices(xp, x, [[0, 1, 0]] * 4), axis=-2),
        label="rows",
    )
    keys = {
        "slices": (slice(1, None), slice(None, None, 2)),
        "int": (-1, ...),
        "none": (slice(None), None, 1),
        "ellipsis": (..., 0),
    }
    for label, key in keys.items():
        yield from rows("getitem", call=lambda xp, x, key=key: x[key], label=label, kinds=BOTH)
    # torch has no negative steps.
    reverse = lambda xp, x: x[:, ::-1] if "torch" not in xp.__name__ else xp.flip(x, axis=1)  # noqa: E731
    yield from rows("getitem", call=reverse, label="negative-step")
    array_key = lambda xp, x: x[indices(xp, x, [0, 1, 0]), indices(xp, x, [2, 2, 2])]  # noqa: E731
    yield from rows("getitem", call=array_key, label="arrays", kinds=BOTH)


def products():
    for first, second in [
        ((2, 3), (3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((3,), (3, 4)),
        ((3,), (2, 3, 4)),
        ((2, 3), (3,)),
        ((4, 2, 3), (3,)),
        ((3,), (3,)),
    ]:
        yield from rows("matmul", first, second, call=lambda xp, x, y: x @ y, kinds=BOTH)
    yield from rows("linalg.matmul", (2, 3), (3, 2))
    yield from rows("linalg.matrix_transpose", BATCH)
    for prefix in ("", "linalg."):
        yield from rows(f"{prefix}vecdot", *BROADCAST, kinds=BOTH)
        yield from rows(f"{prefix}tensordot", (2, 3, 4), (3, 4, 2), kinds=BOTH)
    yield from rows("vecdot", BATCH, (3, 1), axis=-2, kinds=BOTH)
    yield from rows("tensordot", BATCH, (4, 5), axes=1)
    yield from rows("tensordot", (2,), (3,), axes=0)
    yield from rows("tensordot", BATCH, (4, 2), axes=((-1, 0), (0, 1)))
    yield from rows("linalg.cross", (2, 3), (3,), kinds=BOTH)
    yield from rows("linalg.cross", (3, 2), (3, 2), axis=-2)
    yield from rows("linalg.outer", (2,), (3,), kinds=BOTH)


def linalg():
    square, batch = (3, 3), (2, 3, 3)
    for upper in (False, True):
        call = lambda xp, x, u=upper: xp.linalg.cholesky(positive(xp, x), upper=u)  # noqa: E731
        yield from rows("linalg.cholesky", batch, call=call, kinds=BOTH, label="upper" * upper)
    for name in ("det", "inv", "slogdet"):
        call = lambda xp, x, name=name: getattr(xp.linalg, name)(shifted(xp, x))  # noqa: E731
        yield from rows(f"linalg.{name}", batch, call=call, kinds=BOTH)
        yield from rows(f"linalg.{name}", square, call=call)
    yield from rows("linalg.slogdet", square, call=one("linalg.slogdet", 1), kinds=BOTH, label="log")
    for offset in (0, 1, -1, 5):
        yield from rows("linalg.diagonal", BATCH, offset=offset)
        yield from rows("linalg.trace", (4, 3), offset=offset)
    yield from rows(
        "linalg.trace",
        square,
        call=lambda xp, x: xp.linalg.trace(x, dtype=xp.complex128),
        label="dtype",
        no_engine="torch",
    )
    # JAX differentiates no eigenvectors of a general matrix.
    yield from rows("linalg.eig", square, call=of_general_eigenvectors, kinds=BOTH, no_engine="jax")
    yield from rows("linalg.eigvals", batch, call=lambda xp, x: xp.sum(xp.linalg.eigvals(x) ** 3, axis=-1), kinds=BOTH)
    yield from rows("linalg.eigh", batch, call=of_eigenvectors, kinds=BOTH)
    yield from rows("linalg.eigvalsh", square, call=lambda xp, x: xp.linalg.eigvalsh(hermitian(xp, x)), kinds=BOTH)
    for ord in ("fro", "nuc", 1, -1, 2, -2, INF, -INF):
        yield from rows("linalg.matrix_norm", BATCH, ord=ord, kinds=BOTH)
    yield from rows("linalg.matrix_norm", ord=2, keepdims=True)
    for n in (0, 1, 5, -2):
        call = lambda xp, x, n=n: xp.linalg.matrix_power(shifted(xp, x), n)  # noqa: E731
        yield from rows("linalg.matrix_power", batch, call=call, label=str(n))
    for shape in ((4, 2), (2, 4), batch):
        yield from rows("linalg.pinv", shape, call=lambda xp, x: xp.linalg.pinv(shifted(xp, x)), kinds=BOTH)
    low_rank = lambda xp, x, y: xp.linalg.pinv(x @ y, rtol=1e-6)  # noqa: E731
    yield from rows("linalg.pinv", (3, 1), (1, 4), call=low_rank, kinds=BOTH)
    for shape in ((4, 2), (2, 4), batch):
        yield from rows("linalg.qr", shape, call=of_qr, kinds=BOTH)
    # torch has no derivative for more columns than those of the matrix.
    complete = lambda xp, x: of_qr(xp, x, mode="complete")  # noqa: E731
    yield from rows("linalg.qr", (4, 2), call=complete, kinds=BOTH, label="complete", no_engine="torch")
    yield from rows("linalg.qr", (4, 2), call=one("linalg.qr", 1), label="r")
    for first, second in [(square, (3, 2)), (square, (3,)), (batch, (3,)), (square, (2, 3, 1)), (batch, batch)]:
        call = lambda xp, a, b: xp.linalg.solve(shifted(xp, a), b)  # noqa: E731
        yield from rows("linalg.solve", first, second, call=call, kinds=BOTH)
    thin = lambda xp, x: of_singular_vectors(xp, x, full_matrices=False)  # noqa: E731
    for shape in ((4, 2), (2, 4), batch):
        yield from rows("linalg.svd", shape, call=thin, kinds=BOTH)
    # To torch, vectors outside of the thin decomposition are constants; to JAX, nothing here has a derivative.
    for shape in ((4, 2), (2, 4)):
        yield from rows(
            "linalg.svd", shape, call=of_singular_vectors, kinds=BOTH, label="full", no_engine=("jax", "torch")
        )
    yield from rows("linalg.svd", (4, 2), call=one("linalg.svd", 1), label="values", no_engine="jax")
    yield from rows("linalg.svdvals", (2, 4), (4, 2), call=lambda xp, x, y: xp.linalg.svdvals(x @ y), kinds=BOTH)
    for ord in (1, 2, 2.5, INF, -INF, -1):
        yield from rows("linalg.vector_norm", ord=ord, kinds=BOTH)
    yield from rows("linalg.vector_norm", BATCH, axis=(0, -1), keepdims=True)
    yield from rows("linalg.vector_norm", BATCH, axis=1, ord=3)


def fft():
    for name in ("fft", "ifft", "hfft", "irfft"):
        for options in ({}, {"n": 3}, {"n": 8, "norm": "ortho"}, {"axis": 0, "norm": "forward"}):
            yield from rows(f"fft.{name}", (5, 4), kinds=(COMPLEX,), **options)
        yield from rows(f"fft.{name}", (5,), n=9, kinds=(COMPLEX,))
    for name in ("rfft", "ihfft"):
        for options in ({}, {"n": 3}, {"n": 8, "norm": "ortho"}, {"axis": 0, "norm": "forward"}):
            yield from rows(f"fft.{name}", (5, 4), **options)
    for name, kind in (("fftn", COMPLEX), ("ifftn", COMPLEX), ("irfftn", COMPLEX), ("rfftn", REAL)):
        for options in ({}, {"axes": (0, -1), "norm": "ortho"}, {"s": (4, 5), "axes": (2, 1)}, {"axes": (1,)}):
            yield from rows(f"fft.{name}", (2, 3, 4), kinds=(kind,), **options)
    for name in ("fftshift", "ifftshift"):
        yield from rows(f"fft.{name}", (5, 4), kinds=BOTH)
        yield from rows(f"fft.{name}", (5, 4), axes=0)


CASES: list[Case] = [
    *elementwise(),
    *statistical(),
    *manipulation(),
    *indexing(),
    *products(),
    *linalg(),
    *fft(),
]

FIRST: dict[tuple[str, str], Case] = {(case.name, case.dtype): case for case in reversed(CASES)}
"""One row for each function and kind of number."""


def each(cases: Iterable[Case]) -> Any:
    """Run a test on each case, as its argument ``case``."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.label) for case in cases])


def function_of(case: Case) -> Callable[..., Any]:
    """Return the function of a case, for arrays of any library, traced or not."""
    return lambda *arrays: case.call(nnx.namespace(*arrays), *arrays)
