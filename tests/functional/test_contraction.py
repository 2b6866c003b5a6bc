"""Sums of products, beside those of NumPy."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, BackendError, DTypeError, ShapeError
from nnx.testing import assert_close, check_gradients

PATTERNS = [
    ("ij->ji", (2, 3)),
    ("ba", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iji->ji", (3, 2, 3)),
    ("iiji->j", (3, 3, 2, 3)),
    ("iijj->ij", (2, 2, 3, 3)),
    ("", ()),
    ("ij,jk->ik", (2, 3), (3, 4)),
    (" ij , jk -> k i ", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("i,j->ji", (2,), (3,)),
    ("i,i->i", (3,), (3,)),
    ("i,i", (3,), (3,)),
    ("i,->i", (3,), ()),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("bhqd,bkhd->bhqk", (2, 3, 2, 4), (2, 3, 3, 4)),
    ("ijk,jil->kl", (2, 3, 4), (3, 2, 2)),
    ("ij,kl->il", (2, 3), (4, 2)),
    ("ii,ij->j", (3, 3), (3, 2)),
    ("bi,ij,bj->b", (4, 3), (3, 2), (4, 2)),
    ("ij,jk,kl->li", (2, 3), (3, 4), (4, 2)),
    ("Ab,bA,b", (2, 3), (3, 2), (3,)),
    ("ij,jk->ik", (2, 0), (0, 4)),
    ("ii->i", (0, 0)),
]


def each(rows):
    return pytest.mark.parametrize(("subscripts", "shapes"), [(s, shapes) for s, *shapes in rows])


@each(PATTERNS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "complex128"])
def test_as_numpy(xp, subscripts, shapes, dtype):
    rng = np.random.default_rng(0)
    hosts = [rng.integers(-5, 6, size=shape).astype(dtype) for shape in shapes]
    found = F.einsum(subscripts, *(xp.asarray(x, dtype) for x in hosts))
    assert_close(found, xp.asarray(np.einsum(subscripts, *hosts), dtype), rtol=1e-6)


@each([row for row in PATTERNS if all(0 not in shape for shape in row[1:])])
def test_gradients(subscripts, shapes):
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in shapes]
    check_gradients(lambda *xs: F.einsum(subscripts, *xs), *arrays, order=2, modes=("reverse", "forward"))


def test_grad_of_grad_and_jvp(xp):
    x = xp.asarray([[1.0, 2.0], [3.0, 4.0]], "float64")
    square = lambda x: F.einsum("ij,ij->", x, x)  # noqa: E731
    assert_close(nnx.grad(square)(x), 2.0 * x)
    assert_close(nnx.grad(lambda x: F.einsum("ij->", nnx.grad(square)(x) ** 2))(x), 8.0 * x)
    assert_close(nnx.jvp(square, (x,), (x,))[1], 2.0 * square(x))


def test_one_operand_traced():
    w, x = np.arange(6.0).reshape(2, 3), np.ones(3)
    assert_close(nnx.grad(lambda x: F.einsum("ij,j->", w, x))(x), np.asarray([3.0, 5.0, 7.0]))


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error", "message"),
    [
        ("...i->i", [(2, 3)], ArgumentError, r"expected a letter for every axis, got an ellipsis in '\.\.\.i->i'"),
        ("i->i->i", [(2,)], ArgumentError, "expected '->' at most once"),
        ("i1->i", [(2, 3)], ArgumentError, "letters a-z and A-Z, got '1' in 'i1->i'"),
        ("i-j", [(2, 3)], ArgumentError, "got '-' in 'i-j'"),
        ("ij,jk->ik", [(2, 3)], ArgumentError, "operand for each of the 2 terms of 'ij,jk->ik', got 1"),
        ("", [], ArgumentError, "operand for each of the 1 terms of '', got 0"),
        ("ij->ii", [(2, 3)], ArgumentError, "each letter once after '->', got 'i' twice"),
        ("ij->ik", [(2, 3)], ArgumentError, "only letters of the operands after '->', got 'k'"),
        ("ij,jk->ik", [(2, 3), (4, 5)], ShapeError, r"one length for 'j' in .*, got 3 and 4 \(operand 1\)"),
        ("ii", [(2, 1)], ShapeError, "one length for 'i' in 'ii', got 2 and 1"),
        ("ij", [(2,)], ShapeError, r"operand 0 of 'ij' to have 2 axes, .* got shape \(2,\)"),
    ],
)
def test_errors(subscripts, shapes, error, message):
    with pytest.raises(error, match=message):
        F.einsum(subscripts, *(np.ones(shape) for shape in shapes))


def test_errors_of_types():
    x = np.ones(2)
    with pytest.raises(ArgumentError, match=r"expected subscripts as a string .* got ndarray"):
        F.einsum(x, "i")
    with pytest.raises(ArgumentError, match="expected operand 1 to be an array, got float"):
        F.einsum("i,->i", x, 2.0)
    with pytest.raises(DTypeError, match="expected operand 0 of dtype float32, as operand 1, got float64"):
        F.einsum("i,i", x, x.astype(np.float32))
    with pytest.raises(DTypeError, match="expected operand 0 of a numeric dtype, got bool"):
        F.einsum("i", x == 1)
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(BackendError, match="expected arrays of one library"):
        F.einsum("i,i", x, strict.ones(2))
