"""Derivative rules: one table for each chapter of the standard, keyed by the standard's names."""

from nnx.autodiff.rules.elementwise import ELEMENTWISE
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.rules.linear_algebra import LINEAR_ALGEBRA
from nnx.autodiff.rules.manipulation import MANIPULATION
from nnx.autodiff.rules.statistical import STATISTICAL

RULES: dict[str, Rule] = {**ELEMENTWISE, **STATISTICAL, **MANIPULATION, **LINEAR_ALGEBRA}
"""Functions with a derivative."""

JOINED = frozenset({"concat", "stack"})
"""Functions that take a sequence of arrays."""

_CONSTANT = """
    all any argmax argmin argsort bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift
    bitwise_xor can_cast ceil count_nonzero empty_like equal floor floor_divide full_like greater greater_equal isfinite
    isinf isnan less less_equal logical_and logical_not logical_or logical_xor not_equal ones_like result_type round
    searchsorted sign signbit trunc zeros_like
"""
CONSTANT = frozenset(_CONSTANT.split())
"""Functions of arrays whose derivative is zero almost everywhere, or whose result is no floating-point number."""

_PASSED = """
    arange asarray empty eye finfo from_dlpack full iinfo isdtype linspace meshgrid ones tril triu zeros
    e inf nan newaxis pi bool complex64 complex128 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    __array_namespace_info__ __array_api_version__
"""
PASSED = frozenset(_PASSED.split())
"""Functions without array arguments, constants and dtypes: handed on as they are."""
