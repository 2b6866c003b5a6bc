"""Properties of the linear map, on shapes that fit together and arrays in every layout."""

import math

import numpy as np
from fitting import laid_out, linear_shapes
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.testing import assert_close


@given(shapes=linear_shapes(), data=st.data())
def test_it_is_the_sum_of_products_in_every_layout(shapes, data):
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    rtol = {"float32": 1e-5, "float64": 1e-12}[dtype]
    x, weight, bias = (
        data.draw(laid_out(shape, dtype)) for shape in (shapes.x, (shapes.inputs, shapes.outputs), (shapes.outputs,))
    )
    y, pullback = nnx.vjp(F.linear, x, weight, bias)
    assert_close(y, np.einsum("...i,io->...o", x, weight) + bias, rtol=rtol, atol=rtol)
    g = data.draw(laid_out(shapes.y, dtype))
    count = math.prod(shapes.batch)
    rows, g_rows = x.reshape((count, shapes.inputs)), g.reshape((count, shapes.outputs))
    expected = (np.einsum("...o,io->...i", g, weight), rows.T @ g_rows, g_rows.sum(axis=0))
    assert_close(pullback(g), expected, rtol=rtol, atol=rtol)


@given(shapes=linear_shapes(), data=st.data())
def test_the_pullback_is_the_transpose_of_the_tangent_map(xp, shapes, data):
    """<g, J v> = <J^T g, v>, whatever the lengths, on every library."""
    draw = lambda shape: xp.asarray(data.draw(laid_out(shape)), "float64")  # noqa: E731
    primals = [draw(shape) for shape in (shapes.x, (shapes.inputs, shapes.outputs), (shapes.outputs,))]
    tangents = [draw(tuple(primal.shape)) for primal in primals]
    y, tangent = nnx.jvp(F.linear, primals, tangents)
    g = draw(shapes.y)
    _, pullback = nnx.vjp(F.linear, *primals)
    assert tuple(y.shape) == tuple(tangent.shape) == shapes.y
    inner = sum(dot(c, v) for c, v in zip(pullback(g), tangents, strict=True))
    np.testing.assert_allclose(inner, dot(g, tangent), rtol=1e-10, atol=1e-10)


def dot(a, b):
    return float(nnx.namespace(a, b).sum(a * b))
