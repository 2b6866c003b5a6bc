"""What the battery does not ask of attention: masks that leave nothing, blocks, dropout, errors, drawn shapes."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows.attention import reference

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, BackendError, DTypeError, ShapeError
from nnx.functional import dot_product_attention
from nnx.testing import assert_close

RNG = np.random.default_rng(0)


def draws(*shapes):
    return tuple(RNG.normal(size=shape) for shape in shapes)


def gradients(*arrays, **options):
    """Return output and gradients of a sum of squares, by query, key, value and, if there is one, bias."""
    indices = tuple(i for i, x in enumerate(arrays) if x is not None and i != 3)

    def squares(*arrays):
        y = F.attention(*arrays, **options)
        return nnx.namespace(y).sum(y * y)

    return F.attention(*arrays, **options), nnx.grad(squares, argnums=indices)(*arrays)


def test_equal_scores_give_the_mean_of_the_values_that_may_be_seen(xp):
    query, key = xp.asarray(np.zeros((1, 2, 3))), xp.asarray(np.zeros((1, 4, 3)))
    value = xp.asarray([[[1.0], [2.0], [3.0], [6.0]]])
    assert_close(F.attention(query, key, value), xp.asarray([[[3.0], [3.0]]]))
    causal = F.attention(query, key, value, is_causal=True)  # the queries are the last two
    assert_close(causal, xp.asarray([[[2.0], [3.0]]]))


@pytest.mark.parametrize("how", ["mask", "bias", "causal", "no keys"])
def test_a_query_without_keys_gives_zero_and_has_gradient_zero(xp, how):
    keys = {"causal": 2, "no keys": 0}.get(how, 3)
    arrays = [*draws((2, 3, 4), (1, keys, 4), (1, keys, 4)), None, None]
    if how == "mask":
        arrays[3] = np.asarray([[False], [True], [True]])
    if how == "bias":
        arrays[4] = np.asarray([[-np.inf], [0.0], [0.0]])
    arrays = [None if x is None else xp.asarray(x, "bool" if x.dtype == bool else "float64") for x in arrays]
    y, found = gradients(*arrays, is_causal=how == "causal")
    first = nnx.to_numpy(y)[:, 0 if how != "no keys" else slice(None)]
    assert_close(first, np.zeros_like(first), atol=0.0)
    assert_close(nnx.to_numpy(found[0])[:, 0], np.zeros((2, 4)), atol=0.0)
    assert all(np.isfinite(nnx.to_numpy(g)).all() for g in found)


@pytest.mark.parametrize("block", [1, 2, 3, 5])
def test_blocks_change_nothing(xp, block):
    arrays = [xp.asarray(x, "float64") for x in draws((2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 3))]
    mask, bias = xp.asarray(RNG.random((2, 1, 5, 7)) > 0.3, "bool"), xp.asarray(RNG.normal(size=(5, 7)), "float64")
    options = {"is_causal": True, "dropout": 0.25, "seed": 3}
    with nnx.use_kernels("portable"):
        whole = gradients(*arrays, mask, bias, block=5, **options)
        assert_close(gradients(*arrays, mask, bias, block=block, **options), whole, rtol=1e-12, atol=1e-14)


def test_blocks_cover_each_query_once(monkeypatch):
    monkeypatch.setattr(dot_product_attention, "_BLOCK", 60)
    for time in range(8):
        query, key = np.zeros((2, 2, time, 1)), np.zeros((2, 1, 6, 1))
        call = dot_product_attention.Call(query, key, key, None, None)
        seen = [i for rows in call.blocks() for i in range(rows.start, rows.stop)]
        assert seen == list(range(time))
        assert all(4 * 6 * (rows.stop - rows.start) <= 60 for rows in call.blocks())


def test_what_dropout_keeps_is_scaled_and_the_rest_is_zero(xp):
    query, key, value = (
        xp.asarray(np.zeros((1, 200, 1))),
        xp.asarray(np.zeros((1, 50, 1))),
        xp.asarray(np.eye(50)[None]),
    )
    weights = 50 * nnx.to_numpy(F.attention(query, key, value, dropout=0.75, seed=0))
    assert set(np.unique(weights.round(4))) == {0.0, 4.0}
    assert abs(weights.mean() - 1) < 0.05
    again = 50 * nnx.to_numpy(F.attention(query, key, value, dropout=0.75, seed=0, step=1))
    assert (again != weights).any()


def test_half_precision_is_computed_in_single():
    query = key = np.full((1, 1, 64), 40.0, np.float16)  # their product is above 65504
    value = np.full((1, 1, 1), 2.0, np.float16)
    y = F.attention(query, key, value, scale=1.0)
    assert y.dtype == np.float16
    assert y[0, 0, 0] == 2.0


def test_memory_is_linear_in_the_length():
    query, key, value = (np.ones((1, 8192, 4), np.float32) for _ in range(3))
    for tier in ("portable", "native"):
        tracemalloc.start()
        with nnx.use_kernels(tier):
            gradients(query, key, value)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 100e6  # all weights would take 268 MB


SAME = ((2, 3, 4),) * 3


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (
            ((3, 4), (2, 3, 4), (2, 3, 4)),
            {},
            ShapeError,
            r"query of shape \(\.\.\., heads, time, features\), got \(3, 4\)",
        ),
        (((2, 3, 4), (2, 5, 4), (2, 6, 4)), {}, ShapeError, r"value of shape \(2, 5, 'features'\), as the key, got"),
        (((3, 2, 4), (2, 5, 4), (2, 5, 4)), {}, ShapeError, "expected key heads that divide the 3 heads .* got 2"),
        (
            ((1, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4)),
            {},
            ShapeError,
            r"expected key of shape \(1, key heads, key time, 4",
        ),
        (
            ((2, 3, 4),) * 3,
            {"mask": np.ones((2, 2), bool)},
            ShapeError,
            r"mask to broadcast to .*time\) = \(2, 3, 3\), got \(2, 2",
        ),
        (SAME, {"bias": np.ones((4, 2, 3, 3))}, ShapeError, "expected bias to broadcast to"),
        (
            ((2, 3, 4),) * 3,
            {"mask": np.ones((3, 3))},
            DTypeError,
            "mask of dtype bool, True where .* got float64; num",
        ),
        (SAME, {"bias": np.ones((3, 3), "f")}, DTypeError, "convert the bias"),
        (SAME, {"dropout": 1.5, "seed": 0}, ArgumentError, r"expected dropout in \[0, 1\], got 1.5"),
        (SAME, {"dropout": 0.5}, ArgumentError, "expected a seed with dropout"),
        (SAME, {"block": 0}, ArgumentError, "expected block to be an integer of at least 1, got 0"),
    ],
)
def test_errors(arguments, options, error, match):
    with pytest.raises(error, match=match):
        F.attention(*map(np.ones, arguments), **options)


def test_dtypes_and_libraries_are_not_mixed():
    x = np.ones((2, 3, 4))
    with pytest.raises(DTypeError, match="expected query of a floating-point dtype, got int64"):
        F.attention(*(np.ones((2, 3, 4), np.int64),) * 3)
    with pytest.raises(DTypeError, match="key"):
        F.attention(x, x.astype("f"), x)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(BackendError, match="expected arrays of one library"):
        F.attention(x, torch.ones(2, 3, 4), x)


sizes = st.integers(1, 4)


@st.composite
def problems(draw):
    """Draw query, key, value, mask and bias of shapes that fit together, and options."""
    lead, key_heads, features = draw(st.lists(sizes, max_size=2)), draw(sizes), draw(sizes)
    query_time, key_time = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    query = rng.normal(size=(*lead, key_heads * draw(sizes), query_time, features))
    key, value = (rng.normal(size=(*lead, key_heads, key_time, n)) for n in (features, draw(sizes)))
    stretched = draw(st.tuples(*[st.sampled_from([None, 1])] * 6))
    scores = (*query.shape[:-1], key_time)
    mask = rng.random([s or n for n, s in zip(scores, stretched, strict=False)]) > 0.3
    bias = rng.normal(size=[s or n for n, s in zip(scores[-2:], stretched, strict=False)])
    options = {"is_causal": draw(st.booleans()), "block": draw(st.sampled_from([None, 1, 2]))}
    return (query, key, value, mask, bias), options


@settings(max_examples=25)
@given(problem=problems())
def test_drawn_shapes_give_what_pytorch_gives(problem):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    (query, key, value, mask, bias), options = problem
    y, found = gradients(query, key, value, mask, bias, **options)
    leaves = [torch.tensor(x, requires_grad=True) for x in (query, key, value, bias)]
    expected = reference(torch, *leaves[:3], torch.tensor(mask), leaves[3], options["is_causal"])
    assert_close(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    for g, e in zip(found, torch.autograd.grad((expected**2).sum(), leaves), strict=True):
        assert_close(g, e.numpy(), rtol=1e-10, atol=1e-11)


def test_rotary_depends_on_distances_alone(xp):
    x, y = (xp.asarray(a, "float64") for a in draws((1, 8), (1, 8)))

    def product(m, n):
        return float(nnx.to_numpy(F.rotary(x, offset=m) @ F.rotary(y, offset=n).T)[0, 0])

    assert math.isclose(product(3, 1), product(12, 10), rel_tol=1e-12)
    assert not math.isclose(product(3, 1), product(3, 2), rel_tol=1e-3)


def test_positions_may_be_given():
    x = draws((2, 3, 4))[0]
    assert_close(F.rotary(x, np.asarray([5, 6, 7])), F.rotary(x, offset=5))
    assert_close(F.rotary(x, np.asarray([[0, 1, 2], [5, 6, 7]]))[1], F.rotary(x[1], offset=5))


def test_errors_of_positions():
    x = np.ones((2, 3, 4))
    with pytest.raises(DTypeError, match="expected positions of an integer dtype, got float64"):
        F.rotary(x, np.ones(3))
    with pytest.raises(ShapeError, match=r"expected positions to broadcast to .* = \(2, 3\), got \(4,\)"):
        F.rotary(x, np.ones(4, int))
    with pytest.raises(ArgumentError, match="expected offset to be an integer of at least 0, got -1"):
        F.rotary(x, offset=-1)
    with pytest.raises(ArgumentError, match="expected an even number of features, got 3"):
        F.sinusoidal_positions(2, 3, like=x)
    with pytest.raises(DTypeError, match="expected like of a floating-point dtype"):
        F.alibi_bias(2, 3, like=np.ones(1, int))


def test_slopes_of_alibi():
    """For heads that are no power of two: those of the lower power, then every second of the higher one."""
    slopes = -F.alibi_bias(6, 2, like=np.ones(1))[:, 0, 0]
    assert_close(slopes, np.asarray([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]))


def test_the_bias_of_alibi_is_that_of_distances():
    query, key, value = draws((2, 5, 3), (2, 5, 3), (2, 5, 3))
    distance = np.arange(5)[:, None] - np.arange(5)
    full = -np.asarray([2**-4, 2**-8])[:, None, None] * distance
    found = F.attention(query, key, value, bias=F.alibi_bias(2, 5, like=query), is_causal=True)
    assert_close(found, F.attention(query, key, value, bias=full, is_causal=True), rtol=1e-12)
