"""Normalizations of examples on NumPy; the formulas are those of ``nnx/functional/standardization.py``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Primitive, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import group_norm, instance_norm, layer_norm, rms_norm
from nnx.functional.normalization import last_axes, of_groups, of_instances
from nnx.functional.standardization import Layout
from nnx.kernels.numpy.rows import Form, form_of, is_common, ones


def _register(
    function: Primitive[..., Any], layout_of: Callable[..., Layout], usual_eps: float, is_centered: bool = True
) -> None:
    @function.kernel("numpy", fresh=True)
    def _(wanted: Sequence[Any], x: Any, *parameters: Any, eps: float = usual_eps, **options: Any) -> Any:
        weight, bias = (*parameters, None, None)[:2]
        layout = layout_of(x, weight, bias, **options)
        form = form_of(layout)
        if form is None or not is_common(x):
            return Declined(
                "x is not a NumPy array of float32 or float64 with elements, whose positions are the last axes"
            )
        seen, y = x.reshape(form), np.empty(x.shape, x.dtype)
        mean, inverse = _standardize(seen, y.reshape(form), weight, bias, form, eps, is_centered)

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:
                return function.portable_pullback(wanted, x, *parameters, eps=eps, **options)(g)
            to_x = np.empty(x.shape, x.dtype) if wanted[0] else None
            asked = [parameter is not None and wanted[i] for i, parameter in enumerate(parameters, 1)]
            of_parameters = [np.zeros(form.rows * form.channels, x.dtype) if ask else None for ask in asked]
            outputs = (to_x if to_x is None else to_x.reshape(form), *of_parameters, None, None)[:3]
            _pull(outputs, g.reshape(form), seen, weight, mean, inverse, form)
            return to_x, *(p if p is None else p.reshape(layout.own) for p in of_parameters)

        return y, pullback


_register(layer_norm, last_axes, 1e-5)
_register(rms_norm, last_axes, 1e-6, is_centered=False)
_register(group_norm, of_groups, 1e-5)
_register(instance_norm, of_instances, 1e-5)


def _standardize(x: Any, y: Any, weight: Any, bias: Any, form: Form, eps: float, is_centered: bool) -> Any:
    """Fill y, and return mean, if there is one, and 1 / std for each row of each example."""
    size = form.channels * form.positions
    mean, inverse = np.empty((2, form.examples, form.rows, 1, 1), x.dtype)
    w, b = (None if p is None else p.reshape(form.rows, form.channels, 1) for p in (weight, bias))
    for block in form.blocks():
        part, out = x[block], y[block]
        by_row = (len(part), form.rows, 1, 1)
        if is_centered:
            mean[block] = (part.reshape(-1, size).dot(ones(size, x.dtype)) / size).reshape(by_row)
            part = np.subtract(part, mean[block], out)
        flat = part.reshape(-1, size)
        inverse[block] = 1.0 / np.sqrt(np.vecdot(flat, flat) / size + eps).reshape(by_row)
        np.multiply(part, inverse[block], out)
        if w is not None:
            out *= w
        if b is not None:
            out += b
    return mean if is_centered else None, inverse


def _pull(outputs: Sequence[Any], g: Any, x: Any, weight: Any, mean: Any, inverse: Any, form: Form) -> None:
    """Fill the cotangents of x, weight and bias; None for those that are not wanted."""
    to_x, to_weight, to_bias = outputs
    size = form.channels * form.positions
    w = None if weight is None else weight.reshape(form.rows, form.channels, 1)
    for block in form.blocks():
        part, scale = g[block], inverse[block]
        sums = form.sums(part)
        if to_bias is not None:
            to_bias += ones(len(sums), x.dtype).dot(sums)
        if to_x is None and to_weight is None:
            continue
        centered = x[block] if mean is None else x[block] - mean[block]
        products = form.sums(part, centered)
        if to_weight is not None:
            to_weight += _scaled(products, scale, form)
        if to_x is None:
            continue
        out = np.multiply(centered, _by_row(products, weight, form) * scale * scale / -size, to_x[block])
        out += part if w is None else part * w
        if mean is not None:
            out -= _by_row(sums, weight, form) / size
        out *= scale


def _scaled(sums: Any, scale: Any, form: Form) -> Any:
    """Return the sums over examples, each times the scale of its row: (rows * channels,)."""
    if form.rows == 1:
        return scale.reshape(-1).dot(sums)
    scaled = sums.reshape(-1, form.rows, form.channels) * scale[..., 0]
    return ones(len(sums), sums.dtype).dot(scaled.reshape(sums.shape))


def _by_row(sums: Any, weight: Any, form: Form) -> Any:
    """Return the sums over channels, each times its weight: (examples, rows, 1, 1)."""
    if weight is not None:
        weight = weight.reshape(-1)
        if form.rows == 1:
            return sums.dot(weight).reshape(-1, 1, 1, 1)
        sums = sums * weight
    found = sums if form.channels == 1 else sums.reshape(-1, form.channels).dot(ones(form.channels, sums.dtype))
    return found.reshape(-1, form.rows, 1, 1)
