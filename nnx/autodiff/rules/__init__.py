"""Derivative rules: one table for each chapter of the standard, keyed by the standard's names."""

from collections.abc import Callable
from typing import Any

from nnx.autodiff.rules import composed
from nnx.autodiff.rules.elementwise import ELEMENTWISE
from nnx.autodiff.rules.fft import COMPOSED_FFT, FFT
from nnx.autodiff.rules.indexing import INDEXING
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.rules.linalg import COMPOSED_LINALG, LINALG
from nnx.autodiff.rules.linear_algebra import LINEAR_ALGEBRA
from nnx.autodiff.rules.manipulation import MANIPULATION
from nnx.autodiff.rules.signatures import SIGNATURES, check_composition, check_rule
from nnx.autodiff.rules.statistical import STATISTICAL

RULES: dict[str, Rule] = {
    **ELEMENTWISE,
    **STATISTICAL,
    **MANIPULATION,
    **INDEXING,
    **LINEAR_ALGEBRA,
    **{f"linalg.{name}": rule for name, rule in LINALG.items()},
    **{f"fft.{name}": rule for name, rule in FFT.items()},
}
"""Functions with a derivative."""

COMPOSED: dict[str, Callable[..., Any]] = {
    **composed.COMPOSED,
    **{f"linalg.{name}": function for name, function in COMPOSED_LINALG.items()},
    **{f"fft.{name}": function for name, function in COMPOSED_FFT.items()},
}
"""Functions written in terms of others that have a derivative."""

# At import, so that a rule that misreads the standard fails at once and not as a silently wrong derivative.
for _name, _rule in RULES.items():
    check_rule(_name, _rule.parameters, _rule.reads)
for _name, _function in COMPOSED.items():
    check_composition(_name, _function)

EXTENSIONS = ("linalg", "fft")
"""Extensions of the standard; in the tables their functions are named ``linalg.inv`` and so on."""

_CONSTANT = """
    all any argmax argmin argsort bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift
    bitwise_xor broadcast_shapes can_cast ceil count_nonzero equal finfo floor floor_divide greater greater_equal
    iinfo isfinite isin isinf isnan less less_equal logical_and logical_not logical_or logical_xor nonzero not_equal
    result_type round searchsorted signbit trunc linalg.matrix_rank
"""
CONSTANT = frozenset(_CONSTANT.split())
"""Functions of arrays whose derivative is zero almost everywhere, or whose result is not floating-point."""

LIKE = frozenset({"empty_like", "full_like", "ones_like", "zeros_like"})
"""Functions that take only shape, dtype and device from their first argument."""

_PASSED = """
    arange empty eye from_dlpack full isdtype linspace ones zeros
    e inf nan newaxis pi bool complex64 complex128 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    __array_namespace_info__ __array_api_version__ fft.fftfreq fft.rfftfreq
"""
PASSED = frozenset(_PASSED.split())
"""Functions without array arguments, constants and dtypes: passed on as they are."""

BEYOND = frozenset({"float16", "bfloat16"})
"""Dtypes that the standard lacks, of libraries that have them."""

REFUSED: dict[str, str] = {
    "nextafter": "it has no derivative; use x itself",
    "unique_all": "its shape depends on the data; take the indices of nnx.stop_gradient(x) and use xp.take",
    "unique_counts": "its shape depends on the data; take the indices of nnx.stop_gradient(x) and use xp.take",
    "unique_inverse": "its shape depends on the data; take the indices of nnx.stop_gradient(x) and use xp.take",
    "unique_values": "its shape depends on the data; take the indices of nnx.stop_gradient(x) and use xp.take",
}
"""Functions through which a derivative would be lost, and what to do instead."""

__all__ = ["BEYOND", "COMPOSED", "CONSTANT", "EXTENSIONS", "LIKE", "PASSED", "REFUSED", "RULES", "SIGNATURES"]
