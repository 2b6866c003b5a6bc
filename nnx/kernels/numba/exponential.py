"""The exponential function as a formula without branches, of which the compiler computes several at a time.

A loop that calls the one of the C library takes four times as long.
"""

import math
from typing import Any

import numpy as np

from nnx.kernels.numba.compiling import by_precision, inlined

# exp(x) = 2**n exp(r), where r = x - n log(2) is between plus and minus log(2) / 2, and exp(r) is a power series.
# Adding a number that ends in zeros rounds x / log(2) to the integer n, and leaves n in the last bits. log(2) is two
# numbers, the first of which has so few digits that n times it is exact. 2**n is two factors, since alone it may be too
# large or too small for a number where the product is not.
_LOG2_E = 1 / math.log(2)

_LOG2_SINGLE, _REST_SINGLE = np.float32(0.693359375), np.float32(-2.1219444005469058e-4)
_SERIES_SINGLE = tuple(np.float32(1 / math.factorial(k)) for k in range(7, 1, -1))
_ROUND_SINGLE, _BITS_SINGLE = np.float32(1.5 * 2**23), np.float32(1.5 * 2**23).view(np.int32)
_LEAST_SINGLE, _MOST_SINGLE = np.float32(-104), np.float32(89)  # beyond, it is 0 and infinity

_LOG2_DOUBLE, _REST_DOUBLE = 0.6931471803691238, 1.9082149292705878e-10
_SERIES_DOUBLE = tuple(1 / math.factorial(k) for k in range(13, 1, -1))
_ROUND_DOUBLE, _BITS_DOUBLE = 1.5 * 2**52, np.float64(1.5 * 2**52).view(np.int64)
_LEAST_DOUBLE, _MOST_DOUBLE = -746.0, 710.0


@inlined
def _single(x: Any) -> Any:
    x = _MOST_SINGLE if x > _MOST_SINGLE else x  # NaN stays
    x = _LEAST_SINGLE if x < _LEAST_SINGLE else x
    shifted = x * np.float32(_LOG2_E) + _ROUND_SINGLE
    whole = shifted - _ROUND_SINGLE
    r = x - whole * _LOG2_SINGLE - whole * _REST_SINGLE
    series = np.float32(0)
    for factor in _SERIES_SINGLE:
        series = series * r + factor
    n = np.int32(np.float32(shifted).view(np.int32) - _BITS_SINGLE)
    half = np.int32(n >> 1)
    first = np.int32((half + 127) << 23)
    second = np.int32((n - half + 127) << 23)
    return (series * (r * r) + r + np.float32(1)) * first.view(np.float32) * second.view(np.float32)


@inlined
def _double(x: Any) -> Any:
    x = _MOST_DOUBLE if x > _MOST_DOUBLE else x
    x = _LEAST_DOUBLE if x < _LEAST_DOUBLE else x
    shifted = x * _LOG2_E + _ROUND_DOUBLE
    whole = shifted - _ROUND_DOUBLE
    r = x - whole * _LOG2_DOUBLE - whole * _REST_DOUBLE
    series = 0.0
    for factor in _SERIES_DOUBLE:
        series = series * r + factor
    n = np.float64(shifted).view(np.int64) - _BITS_DOUBLE
    half = n >> 1
    first = np.int64((half + 1023) << 52)
    second = np.int64((n - half + 1023) << 52)
    return (series * (r * r) + r + 1.0) * first.view(np.float64) * second.view(np.float64)


exp = by_precision(_single, _double)
"""``exp(x)`` in a loop, right to within one unit in the last place."""
