"""Assert that arrays agree: first in library, device, dtype and shape, then in their values."""

import math
from typing import Any, NamedTuple

from nnx.autodiff import stop_gradient
from nnx.backend import device_of, dtype_name, is_array, library_name, namespace, to_numpy
from nnx.tree import tree_flatten
from nnx.types import Array, Tree

DEFAULT_RTOL = {
    "float64": 1e-10,
    "complex128": 1e-10,
    "float32": 1e-5,
    "complex64": 1e-5,
    "float16": 1e-2,
    "bfloat16": 1e-1,
}
"""The tolerance of :func:`assert_close` by dtype; arrays of any other dtype must agree exactly."""


class Checks(NamedTuple):
    """What is compared before the values."""

    namespace: bool
    device: bool
    dtype: bool
    shape: bool


def assert_close(
    actual: Tree,
    expected: Tree,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    equal_nan: bool = False,
    check_namespace: bool = True,
    check_device: bool = True,
    check_dtype: bool = True,
    check_shape: bool = True,
) -> None:
    r"""Assert that two arrays, or two trees of arrays, are of the same kind and have close values.

    Library, device, dtype and shape are compared first, so that a result that was moved or converted is noticed. Then
    every element has to satisfy

    .. math:: |a_i - e_i| \le \mathrm{atol} + \mathrm{rtol} \, \max_j |e_j|

    where the maximum is over the finite elements of the array: rounding errors scale with the largest numbers of a
    computation, and an element that is near zero by cancellation is not an error.

    Parameters
    ----------
    actual, expected : arrays, or trees of the same structure
        Python numbers are compared by value only, and traced arrays by the arrays behind them. Leaves of any other type
        must be equal.
    rtol : float, optional
        By default that of the dtype in ``DEFAULT_RTOL``: 1e-10 for float64, 1e-5 for float32, 0 for integers.
    atol : float
    equal_nan : bool
        Whether NaNs at the same index are equal. Infinities of the same sign always are.
    check_namespace, check_device, check_dtype, check_shape : bool
        Set to False to skip a comparison. Without ``check_shape`` the arrays must still broadcast.

    Raises
    ------
    AssertionError
        With what differs; for values, the index of the worst element and both values.

    Examples
    --------
    >>> import numpy as np
    >>> assert_close(np.asarray([1.0, 1e-12]), np.asarray([1.0, 0.0]))
    >>> assert_close({"x": np.asarray([1.0, 2.0])}, {"x": np.asarray([1.0, 2.5])})
    Traceback (most recent call last):
    ...
    AssertionError: 'x': 1 of 2 elements differ; worst at index (1,): actual 2.0, expected 2.5 (difference 0.5,
    allowed 2.5e-10 = atol 0 + rtol 1e-10 * 2.5)
    """
    checks = Checks(check_namespace, check_device, check_dtype, check_shape)
    found, wanted = tree_flatten(actual), tree_flatten(expected)
    if list(found) != list(wanted):
        raise AssertionError(f"expected a tree with the leaves {list(wanted)}, got one with {list(found)}")
    for path, value in wanted.items():
        where = f"{path!r}: " if path else ""
        got, value = stop_gradient(found[path]), stop_gradient(value)
        if not _is_number(got) or not _is_number(value):
            if got != value:
                raise AssertionError(f"{where}expected {value!r}, got {got!r}")
            continue
        _assert_alike(got, value, where, checks)
        _assert_values(got, value, where, rtol, atol, equal_nan)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, complex)) or is_array(value)


def _assert_alike(actual: Any, expected: Any, where: str, checks: Checks) -> None:
    if is_array(actual) and is_array(expected):
        libraries = library_name(namespace(actual)), library_name(namespace(expected))
        if checks.namespace and libraries[0] != libraries[1]:
            raise AssertionError(f"{where}expected an array of {libraries[1]}, got one of {libraries[0]}")
        devices = device_of(actual), device_of(expected)
        if checks.device and libraries[0] == libraries[1] and devices[0] != devices[1]:
            raise AssertionError(f"{where}expected an array on device {devices[1]}, got one on {devices[0]}")
        dtypes = dtype_name(actual.dtype), dtype_name(expected.dtype)
        if checks.dtype and dtypes[0] != dtypes[1]:
            raise AssertionError(f"{where}expected dtype {dtypes[1]}, got {dtypes[0]}")
    shapes = tuple(getattr(actual, "shape", ())), tuple(getattr(expected, "shape", ()))
    if checks.shape and shapes[0] != shapes[1]:
        raise AssertionError(f"{where}expected shape {shapes[1]}, got {shapes[0]}")


def _assert_values(actual: Any, expected: Any, where: str, rtol: float | None, atol: float, equal_nan: bool) -> None:
    if rtol is None:
        rtol = max(_default_rtol(actual), _default_rtol(expected))
    hosts = _on_host(actual), _on_host(expected)
    xp = namespace(*hosts) if any(map(is_array, hosts)) else None
    if xp is None:  # two Python numbers
        same = actual == expected or (equal_nan and actual != actual and expected != expected)
        if not same and not abs(actual - expected) <= atol + rtol * abs(expected):
            raise AssertionError(f"{where}expected {expected!r}, got {actual!r}")
        return
    a, e = (xp.asarray(host) for host in hosts)
    if xp.isdtype(a.dtype, "bool") or xp.isdtype(e.dtype, "bool"):
        a, e = (xp.astype(value, xp.int64) for value in (a, e))
    elif not (_is_exact(xp, a) and _is_exact(xp, e)):
        wide = xp.complex128 if "complex" in f"{a.dtype}{e.dtype}" else xp.float64
        a, e = xp.astype(a, wide), xp.astype(e, wide)
    a, e = xp.broadcast_arrays(a, e)
    same = a == e
    if equal_nan:
        same = same | (xp.isnan(a) & xp.isnan(e))
    # Infinities and NaN must not take part in the subtraction: NumPy would warn.
    finite = xp.isfinite(a) & xp.isfinite(e)
    zero = xp.zeros_like(a)
    a_, e_ = xp.where(finite, a, zero), xp.where(finite, e, zero)
    difference = xp.where(a_ > e_, a_ - e_, e_ - a_) if _is_exact(xp, a) else xp.abs(a_ - e_)
    magnitude = float(xp.max(xp.abs(e_))) if math.prod(e_.shape) else 0.0
    allowed = atol + rtol * magnitude
    wrong = ~same & (~finite | (difference > allowed))
    if not xp.any(wrong):
        return
    # The worst element: one that is infinite or NaN on one side only, or else the one with the largest difference.
    badness = xp.where(wrong, xp.where(finite, xp.astype(difference, xp.float64), xp.inf), -1.0)
    flat = int(xp.argmax(xp.reshape(badness, (-1,))))
    index = _unravel(flat, a.shape)
    raise AssertionError(
        f"{where}{int(xp.sum(xp.astype(wrong, xp.int64)))} of {math.prod(a.shape)} elements differ; "
        f"worst at index {index}: "
        f"actual {a[index]}, expected {e[index]} (difference {abs(e[index] - a[index]):.4g},\n"
        f"allowed {allowed:.4g} = atol {atol:.4g} + rtol {rtol:.4g} * {magnitude:.4g})"
    )


def _default_rtol(value: Any) -> float:
    if is_array(value):
        return DEFAULT_RTOL.get(dtype_name(value.dtype), 0.0)
    return 1e-10 if isinstance(value, (float, complex)) else 0.0


def _on_host(value: Any) -> Any:
    """Return an array as a NumPy array, with bfloat16 as float32; a Python number as it is."""
    if is_array(value) and dtype_name(value.dtype) == "bfloat16":
        xp = namespace(value)
        value = xp.astype(value, xp.float32)
    return to_numpy(value)


def _is_exact(xp: Any, array: Array) -> bool:
    return bool(xp.isdtype(array.dtype, "integral"))


def _unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index: list[int] = []
    for length in reversed(shape):
        flat, i = divmod(flat, length)
        index.append(i)
    return tuple(reversed(index))
