"""The coverage of the standard, held without the suite: every function of 2025.12 is called on traced arrays alone.

A call is text, because it is made in a traced namespace and in the plain one, and the two results are compared.
"""

import inspect
import math
import operator
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.autodiff import rules
from nnx.errors import MissingRuleError
from nnx.testing import everything_traced, traced_numpy, traced_strict

NAMESPACES = pytest.mark.parametrize("library", [traced_numpy, traced_strict], ids=["numpy", "array-api-strict"])

CALLS = """
    arange(0, stop=6, step=2, dtype=int64, device=device) | arange(3)
    asarray([1.0, 2.0], dtype=float32, device=device, copy=True) | asarray(x, copy=True)
    empty((2,), dtype=float32, device=device) | empty_like(x, dtype=float32, device=device)
    eye(2, 3, k=1, dtype=float32, device=device) | from_dlpack(x, device=device, copy=True)
    full((2,), 3, dtype=float32, device=device) | full_like(x, 3, dtype=float32, device=device)
    linspace(0, 1, 5, dtype=float32, device=device, endpoint=False)
    meshgrid(v, w, indexing="ij") | meshgrid(v, w) | ones((2,), dtype=float32, device=device)
    ones_like(x, dtype=float32, device=device) | tril(x, k=1) | triu(x, k=1)
    zeros((2,), dtype=float32, device=device) | zeros_like(x, dtype=float32, device=device)

    astype(x, float32, copy=True, device=device) | astype(x, int64) | can_cast(x, float32)
    isdtype(float32, "real floating") | finfo(x) | finfo(float32) | iinfo(i) | iinfo(int32) | result_type(x, float32, 1)

    abs(x) | acos(x) | acosh(x + 1) | add(x, y) | add(x, 1) | add(1, x) | asin(x) | asinh(x) | atan(x) | atan2(x, y)
    atanh(x) | bitwise_and(i, j) | bitwise_left_shift(i, j) | bitwise_invert(i) | bitwise_or(i, j)
    bitwise_right_shift(i, j) | bitwise_xor(i, j) | ceil(x) | clip(x, min=0.2, max=0.4) | clip(x, y, y + 1) | conj(c)
    copysign(x, y) | cos(x) | cosh(x) | divide(x, y) | equal(x, y) | exp(x) | expm1(x) | floor(x) | floor_divide(x, y)
    greater(x, y) | greater_equal(x, y) | hypot(x, y) | imag(c) | isfinite(x) | isinf(x) | isnan(x) | less(x, y)
    less_equal(x, y) | log(x) | log1p(x) | log2(x) | log10(x) | logaddexp(x, y) | logical_and(b, b) | logical_not(b)
    logical_or(b, b) | logical_xor(b, b) | maximum(x, y) | minimum(x, y) | multiply(x, y) | negative(x)
    nextafter(x, y) | not_equal(x, y) | positive(x) | pow(x, y) | real(c) | reciprocal(x) | remainder(x, y) | round(x)
    sign(x) | signbit(x) | sin(x) | sinh(x) | square(x) | sqrt(x) | subtract(x, y) | tan(x) | tanh(x) | trunc(x)

    take(x, order, axis=1) | take_along_axis(x, j, axis=1)

    matmul(x, y.mT) | matrix_transpose(x) | tensordot(x, y, axes=((1,), (1,))) | vecdot(x, y, axis=-1)

    broadcast_arrays(x, v) | broadcast_shapes((2, 1), (3,)) | broadcast_to(v, (2, 3)) | concat([x, y], axis=1)
    concat((x, y), axis=None) | expand_dims(x, axis=0) | flip(x, axis=0) | moveaxis(x, 0, 1)
    permute_dims(x, axes=(1, 0)) | repeat(x, 2, axis=1) | repeat(v, order)
    reshape(x, (3, 2), copy=True) | reshape(x, shape=(6,)) | roll(x, shift=1, axis=0) | roll(x, (1, 1), axis=(0, 1))
    squeeze(expand_dims(x, axis=1), axis=1) | stack([x, y], axis=1) | tile(x, (2, 1)) | unstack(x, axis=1)

    argmax(x, axis=0, keepdims=True) | argmin(x, axis=0, keepdims=True) | count_nonzero(x, axis=0, keepdims=True)
    nonzero(i) | searchsorted(v, w, side="right", sorter=order) | where(b, x, y) | where(b, x, 0.0)

    isin(i, j, invert=True) | isin(i, 1) | unique_all(x) | unique_counts(x) | unique_inverse(x) | unique_values(x)

    argsort(x, axis=0, descending=True, stable=True) | sort(x, axis=0, descending=True, stable=True)

    cumulative_sum(x, axis=0, dtype=float64, include_initial=True)
    cumulative_prod(x, axis=0, dtype=float64, include_initial=True)
    max(x, axis=0, keepdims=True) | mean(x, axis=(0, 1), keepdims=True) | min(x, axis=0, keepdims=True)
    prod(x, axis=0, dtype=float64, keepdims=True) | prod(i) | std(x, axis=0, correction=1.0, keepdims=True)
    sum(x, axis=0, dtype=float64, keepdims=True) | sum(i) | var(x, axis=0, correction=1.0, keepdims=True)

    all(b, axis=0, keepdims=True) | any(b, axis=0, keepdims=True) | diff(x, axis=0, n=1, prepend=x, append=y)

    linalg.cholesky(m, upper=True) | linalg.cross(x, y, axis=-1) | linalg.det(m) | linalg.diagonal(m, offset=1)
    linalg.eig(m) | linalg.eigh(m) | linalg.eigvals(m) | linalg.eigvalsh(m) | linalg.inv(m) | linalg.matmul(x, m)
    linalg.matrix_norm(x, keepdims=True, ord=1) | linalg.matrix_power(m, 2) | linalg.matrix_rank(m, rtol=1e-6)
    linalg.matrix_transpose(x) | linalg.outer(v, w) | linalg.pinv(x, rtol=1e-6) | linalg.qr(m, mode="complete")
    linalg.slogdet(m) | linalg.solve(m, v) | linalg.svd(x, full_matrices=False) | linalg.svdvals(x)
    linalg.tensordot(x, y, axes=2) | linalg.trace(m, offset=1, dtype=float64) | linalg.vecdot(x, y, axis=-1)
    linalg.vector_norm(x, axis=1, keepdims=True, ord=1)

    fft.fft(c, n=4, axis=0, norm="ortho") | fft.ifft(c, n=4, axis=0, norm="ortho")
    fft.fftn(c, s=(2, 2), axes=(0, 1), norm="ortho") | fft.ifftn(c, s=(2, 2), axes=(0, 1), norm="ortho")
    fft.rfft(x, n=4, axis=0, norm="ortho") | fft.irfft(c, n=4, axis=0, norm="ortho")
    fft.rfftn(x, s=(2, 2), axes=(0, 1), norm="ortho") | fft.irfftn(c, s=(2, 2), axes=(0, 1), norm="ortho")
    fft.hfft(c, n=4, axis=0, norm="ortho") | fft.ihfft(x, n=4, axis=0, norm="ortho")
    fft.fftfreq(4, d=0.5, dtype=float32, device=device) | fft.rfftfreq(4, d=0.5, dtype=float32, device=device)
    fft.fftshift(x, axes=(0,)) | fft.ifftshift(x, axes=(0,))

    __array_namespace_info__()
"""
_CONSTANTS = """
    e inf nan newaxis pi bool complex64 complex128 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    __array_api_version__
"""
_METHODS = """
    abs add and bool complex dlpack dlpack_device eq float floordiv ge getitem gt index int invert le lshift lt matmul
    mod mul ne neg or pos pow rshift setitem sub truediv xor array_namespace
"""
ATTRIBUTES = ["T", "device", "dtype", "mT", "ndim", "shape", "size", "to_device"]

CONSTANTS = _CONSTANTS.split()
METHODS = _METHODS.split()
EACH_CALL = [call.strip() for line in CALLS.splitlines() for call in line.split("|") if call.strip()]
EACH_FUNCTION = sorted({call.partition("(")[0] for call in EACH_CALL})


def arrays(library: Any) -> dict[str, Any]:
    """Arrays to call a function on, made by the namespace."""
    x = library.asarray([[0.5, 0.25, 0.125], [0.75, 0.375, 0.0625]], dtype=library.float64)
    return {
        "x": x,
        "y": library.asarray([[0.25, 0.5, 0.375], [0.125, 0.75, 0.25]], dtype=library.float64),
        "v": x[0, :],
        "w": library.asarray([0.1, 0.3, 0.6], dtype=library.float64),
        "m": library.asarray([[2.0, 0.5, 0.0], [0.5, 3.0, 0.25], [0.0, 0.25, 4.0]], dtype=library.float64),
        "c": library.asarray([[1.0 + 2.0j, 0.5j], [2.0 - 1.0j, 1.0 + 0.0j]], dtype=library.complex128),
        "i": library.asarray([[1, 2, 3], [4, 5, 6]], dtype=library.int64),
        "j": library.asarray([[2, 1, 0], [1, 1, 2]], dtype=library.int64),
        "b": library.asarray([[True, False, True], [False, True, True]]),
        "order": library.asarray([2, 1, 0], dtype=library.int64),
        "device": x.device,
    }


def call_in(library: Any, call: str) -> Any:
    extensions = {"linalg": library.linalg, "fft": library.fft}  # which a library may make when they are asked for
    return eval(call, {**vars(library), **extensions, **arrays(library)})


def leaves(result: Any) -> list[Any]:
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, tuple | list) else [result]


def as_numpy(array: Any) -> Any:
    return np.asarray(nnx.to_numpy(nnx.stop_gradient(array)))


def test_every_function_of_the_standard_has_one_place_in_the_tables() -> None:
    tables = (rules.RULES, rules.COMPOSED, rules.CONSTANT, rules.LIKE, rules.PASSED, rules.REFUSED)
    listed = sorted(name for table in tables for name in table)
    assert listed == sorted([*EACH_FUNCTION, *CONSTANTS])


@NAMESPACES
@pytest.mark.parametrize("call", EACH_CALL)
def test_function_gives_the_plain_result_traced(library: Any, call: str) -> None:
    plain = call_in(library.untraced, call)
    if call.partition("(")[0] in rules.REFUSED:
        with pytest.raises(MissingRuleError, match="would lose its derivative"):
            call_in(library, call)
        return
    traced = call_in(library, call)
    if hasattr(plain, "_fields"):
        assert traced._fields == plain._fields
    expected, found = leaves(plain), leaves(traced)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if not nnx.backend.is_array(other) or isinstance(other, type):
            assert type(one) is type(other)
            continue
        assert type(one) is nnx.autodiff.TracedArray
        assert (one.shape, one.dtype, one.device) == (other.shape, other.dtype, nnx.backend.device_of(other))
        if "empty" not in call:
            np.testing.assert_allclose(as_numpy(one), as_numpy(other), rtol=1e-12, atol=1e-12)


@NAMESPACES
@pytest.mark.parametrize("name", EACH_FUNCTION)
def test_signature_is_that_of_the_standard(library: Any, name: str) -> None:
    find = operator.attrgetter(name)
    standard = inspect.signature(find(traced_strict.untraced)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    by_name = {parameter.name for parameter in standard if parameter.kind in named}
    try:
        found = inspect.signature(find(library)).parameters
    except ValueError:
        assert not by_name, "the function takes arguments by name, and does not say so"
        return
    assert by_name <= found.keys()


@NAMESPACES
def test_constants_and_dtypes_are_those_of_the_library(library: Any) -> None:
    for name in CONSTANTS:
        assert getattr(library, name) is getattr(library.untraced, name), name


@NAMESPACES
def test_array_object_has_the_names_of_the_standard(library: Any) -> None:
    x = library.ones((1, 1))
    for name in [*(f"__{name}__" for name in METHODS), *ATTRIBUTES]:
        assert hasattr(x, name), name
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift"):
        assert hasattr(x, f"__r{name}__"), name


@NAMESPACES
@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "//", "%", "**", "@", "==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("operands", [("m", "m"), ("m", "2.0"), ("2.0", "m")], ids=" ".join)
def test_operators(library: Any, symbol: str, operands: tuple[str, str]) -> None:
    if symbol == "@" and "2.0" in operands:
        pytest.skip("a number is no matrix")
    with np.errstate(divide="ignore", invalid="ignore"):
        check_same(library, f" {symbol} ".join(operands))


@NAMESPACES
@pytest.mark.parametrize(
    "expression", ["i & j", "i | 1", "1 ^ i", "i << j", "i >> 1", "8 >> j", "~i", "~b", "-i", "+x"]
)
def test_bitwise_and_unary_operators(library: Any, expression: str) -> None:
    check_same(library, expression)


def check_same(library: Any, expression: str) -> None:
    plain, traced = call_in(library.untraced, expression), call_in(library, expression)
    assert type(traced) is nnx.autodiff.TracedArray
    assert traced.dtype == plain.dtype
    np.testing.assert_array_equal(as_numpy(traced), as_numpy(plain))


@NAMESPACES
@pytest.mark.parametrize("symbol", ["+", "-", "*", "//", "%", "**", "&", "|", "^", "<<", ">>"])
def test_in_place_operators(library: Any, symbol: str) -> None:
    names: dict[str, Any] = arrays(library)
    names["j"] += 1
    expected = eval(f"i {symbol} j", names)
    exec(f"i {symbol}= j", names)
    assert type(names["i"]) is nnx.autodiff.TracedArray
    assert bool(library.all(names["i"] == expected))


@NAMESPACES
def test_values_are_read_and_written(library: Any) -> None:
    x = library.asarray([1, 2, 3])
    x[x < 2] = library.asarray(5)
    x[1:] = library.asarray([6, 7])
    assert [int(value) for value in x] == [5, 6, 7]
    assert "abcdefgh"[x[0]] == "f"
    assert complex(x[0]) == 5
    assert (float(library.asarray(0.5)), complex(library.asarray(1j)), bool(x[0] == 5)) == (0.5, 1j, True)
    assert type(x.to_device(x.device)) is nnx.autodiff.TracedArray
    assert x.__dlpack_device__()[0] == 1


def test_array_is_made_of_a_sequence_of_arrays_where_the_library_can() -> None:
    x = traced_numpy.asarray([1.0, 2.0])
    np.testing.assert_array_equal(as_numpy(traced_numpy.asarray([x[1], x[0]])), [2.0, 1.0])


@NAMESPACES
def test_array_knows_its_namespace(library: Any) -> None:
    assert library.ones(2).__array_namespace__() is library
    assert nnx.namespace(library.ones(2)) is library


@NAMESPACES
def test_transforms_work_on_these_arrays(library: Any) -> None:
    x = library.asarray([0.5, 1.5])
    gradient = nnx.grad(lambda x: library.sum(library.sin(x) ** 2))(x)
    assert type(gradient) is nnx.autodiff.TracedArray
    assert type(gradient.trace) is everything_traced.EverythingTrace
    np.testing.assert_allclose(as_numpy(gradient), np.sin([1.0, 3.0]))


@NAMESPACES
def test_arrays_of_a_tape_still_refuse(library: Any) -> None:
    def reads(x: Any) -> Any:
        return x * float(x)

    with pytest.raises(nnx.errors.TraceError, match="cannot become float"):
        nnx.grad(reads)(library.asarray(0.5))


@pytest.mark.parametrize("traced", [traced_numpy, traced_strict])
@pytest.mark.parametrize(
    ("name", "value"), [("expm1", complex(-0.0, 0.0)), ("tanh", complex(math.inf, 3.144196018324722e153))]
)
def test_signs_of_zero_are_those_of_the_library(traced, name, value):
    x = traced.asarray(value, dtype=traced.complex128)
    plain = nnx.stop_gradient(x)
    expected = getattr(nnx.namespace(plain), name)(plain)
    found = nnx.stop_gradient(getattr(traced, name)(x))
    assert str(complex(found)) == str(complex(expected))
