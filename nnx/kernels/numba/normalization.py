"""Normalizations over the last axes, row by row; the formulas are those of ``nnx/functional/standardization.py``."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import layer_norm, rms_norm
from nnx.functional.normalization import last_axes
from nnx.kernels.numba.compiling import compiled
from nnx.kernels.numba.rows import total, total_of_products
from nnx.kernels.numpy.rows import form_of, is_common


@compiled
def _standardize(x: Any, weight: Any, bias: Any, y: Any, mean: Any, inverse: Any, eps: Any, is_centered: bool) -> None:
    size, one = y.dtype.type(x.shape[1]), y.dtype.type(1)
    for i in range(x.shape[0]):
        row, out = x[i], y[i]
        mean[i] = total(row) / size if is_centered else 0
        middle = mean[i]
        for j in range(out.size):
            out[j] = row[j] - middle
        inverse[i] = one / y.dtype.type(sqrt(total_of_products(out, out) / size + eps))
        scale = inverse[i]
        for j in range(out.size):
            out[j] *= scale
        if weight is not None:
            if bias is not None:
                for j in range(out.size):
                    out[j] = out[j] * weight[j] + bias[j]
            else:
                for j in range(out.size):
                    out[j] *= weight[j]


@compiled
def _pull(
    g: Any, x: Any, weight: Any, mean: Any, inverse: Any, to_x: Any, to_weight: Any, to_bias: Any, is_centered: bool
) -> None:
    """Write the cotangent of x, which may be in the place of ``g``, and add up those of weight and bias."""
    size = g.dtype.type(x.shape[1])
    weighted, normal = np.empty_like(x[0]), np.empty_like(x[0])
    for i in range(x.shape[0]):
        row, slopes, out = x[i], g[i], to_x[i]
        middle, scale = mean[i], inverse[i]
        for j in range(normal.size):
            weighted[j] = slopes[j]
            normal[j] = (row[j] - middle) * scale
        if to_bias is not None:
            for j in range(normal.size):
                to_bias[j] += weighted[j]
        if weight is not None:
            for j in range(normal.size):
                to_weight[j] += weighted[j] * normal[j]
            for j in range(normal.size):
                weighted[j] *= weight[j]
        shift = total(weighted) / size if is_centered else g.dtype.type(0)
        tilt = total_of_products(weighted, normal) / size
        for j in range(normal.size):
            out[j] = (weighted[j] - shift - normal[j] * tilt) * scale


def _register(function: Primitive[..., Any], usual_eps: float, is_centered: bool) -> None:
    @function.kernel("numpy", tier="compiled", fresh=True)
    def _(wanted: Any, x: Any, *parameters: Any, eps: float = usual_eps, **options: Any) -> Any:
        weight, bias = (*parameters, None, None)[:2]
        layout = last_axes(x, weight, bias, **options)
        form = form_of(layout)
        if form is None or form.rows * form.positions != 1 or not is_common(x) or not x.flags.c_contiguous:
            return Declined("x is not a contiguous array of float32 or float64 with elements")
        if type(eps) not in (int, float):
            return Declined("eps is not a Python number")
        if weight is None and bias is not None:
            return Declined("there is a bias without a weight")
        w, b = (None if p is None else np.ascontiguousarray(p).reshape(-1) for p in (weight, bias))
        rows = x.reshape((form.examples, form.channels))
        y, (mean, inverse) = np.empty(rows.shape, x.dtype), np.empty((2, form.examples), x.dtype)
        _standardize(rows, w, b, y, mean, inverse, x.dtype.type(eps), is_centered)

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:
                return function.portable_pullback(wanted, x, *parameters, eps=eps, **options)(g)
            slopes = np.ascontiguousarray(g).reshape(rows.shape)
            to_x = slopes if wanted.may_overwrite else np.empty(rows.shape, x.dtype)
            to_w, to_b = (None if p is None else np.zeros(form.channels, x.dtype) for p in (w, b))
            _pull(slopes, rows, w, mean, inverse, to_x, to_w, to_b, is_centered)
            of_parameters = (p if p is None else p.reshape(layout.own) for p in (to_w, to_b))
            found = (to_x.reshape(x.shape), *of_parameters)[: 1 + len(parameters)]
            return [array if asked else None for array, asked in zip(found, wanted, strict=False)]

        return y.reshape(x.shape), pullback


_register(layer_norm, 1e-5, is_centered=True)
_register(rms_norm, 1e-6, is_centered=False)
