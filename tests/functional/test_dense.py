"""Properties of the linear and the bilinear map, on shapes that fit together and arrays in every layout."""

import math

import numpy as np
import pytest
from fitting import laid_out, linear_shapes
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import DTypeError, ShapeError
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


@given(data=st.data())
def test_the_bilinear_map_is_the_sum_of_products(data):
    lengths = st.integers(0, 3)
    batch = data.draw(st.lists(lengths, max_size=2))
    first, second, outputs = (data.draw(lengths) for _ in range(3))
    shapes = ((*batch, first), (*batch, second), (outputs, first, second), (outputs,))
    x1, x2, weight, bias = (data.draw(laid_out(shape)) for shape in shapes)
    y, pullback = nnx.vjp(F.bilinear, x1, x2, weight, bias)
    assert_close(y, np.einsum("...i,oij,...j->...o", x1, weight, x2) + bias, rtol=1e-12, atol=1e-12)
    g = data.draw(laid_out((*batch, outputs)))
    rows = [a.reshape((math.prod(batch), a.shape[-1])) for a in (g, x1, x2)]
    expected = (
        np.einsum("...o,oij,...j->...i", g, weight, x2),
        np.einsum("...o,oij,...i->...j", g, weight, x1),
        np.einsum("bo,bi,bj->oij", *rows),
        rows[0].sum(axis=0),
    )
    assert_close(pullback(g), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (4, 2), (3, 2)), r"weight of shape \(out_features, in1_features, in2_features\), got \(3, 2\)"),
        (((4, 3), (5, 2), (1, 3, 2)), r"that agree in the leading axes, got \(4, 3\) and \(5, 2\)"),
        (((4, 3), (), (1, 3, 2)), r"inputs of shapes \(\.\.\., 3\) and \(\.\.\., 2\) .*, got \(4, 3\) and \(\)"),
        (((4, 3), (4, 2), (1, 3, 2), (2,)), r"expected bias of shape \(1,\), got \(2,\)"),
    ],
)
def test_shapes_that_the_bilinear_map_does_not_take(shapes, message):
    with pytest.raises(ShapeError, match=message):
        F.bilinear(*map(np.ones, shapes))


def test_the_inputs_of_the_bilinear_map_have_one_dtype():
    arrays = [np.ones((4, 3)), np.ones((4, 2), np.float32), np.ones((1, 3, 2))]
    with pytest.raises(DTypeError, match="expected the first input of dtype float32, as the second input, got float64"):
        F.bilinear(*arrays)
