"""The blocks of attention on NumPy arrays, and calls that a kernel leaves to the portable body."""

import itertools

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.kernels.numpy import attention as kernel
from nnx.testing import assert_close

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("most", [1, 7, 40, 150, 10_000])
def test_blocks_cover_each_query_of_each_head_once(most):
    for batch, heads, group, time, keys, rows in itertools.product((1, 3), (1, 2), (1, 2), (1, 5), (1, 4), (2, 9)):
        seen = np.zeros((batch, heads, time), int)
        for b, h, i in kernel.blocks(batch, heads, group, time, keys, rows, most):
            seen[b, h, i] += 1
            queries, weights = i.stop - i.start, group * keys * seen[b, h, i].size
            assert 1 <= queries <= rows
            assert weights <= most or queries == seen[b, h, i].size == 1
        assert (seen == 1).all()


def test_of_a_head_the_last_queries_come_first():
    """They see all keys under a causal mask, so that they write the gradients that the others are added to."""
    stops = [i.stop for b, h, i in kernel.blocks(1, 1, 1, 10, 3, 4)]
    assert stops == [10, 8, 4]


@pytest.mark.parametrize("most", [1, 30, 130, 100_000])
@pytest.mark.parametrize("queries", [3, 6, 9])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_small_blocks_give_what_the_portable_body_gives(monkeypatch, most, queries, dropout):
    monkeypatch.setattr(kernel.blocks, "__defaults__", (most,))
    arrays = [RNG.normal(size=size) for size in ((2, 4, queries, 3), (2, 2, 6, 3), (2, 2, 6, 5), (4, queries, 6))]
    mask = RNG.random((2, 1, queries, 6)) > 0.3

    def call(query, key, value, bias):
        return F.attention(query, key, value, mask, bias, is_causal=True, dropout=dropout, seed=5, step=2, block=2)

    found = nnx.vjp(call, *arrays)
    with nnx.use_kernels("portable"):
        expected = nnx.vjp(call, *arrays)
    assert_close(found[0], expected[0], rtol=1e-12, atol=1e-14)
    g = RNG.normal(size=found[0].shape)
    assert_close(found[1](g), expected[1](g), rtol=1e-12, atol=1e-13)


def test_it_takes_views_and_keeps_the_layout_of_the_query():
    """The heads of a layer are a view of (batch, time, heads, features); putting them together again copies nothing."""
    query, key, value = (RNG.normal(size=(2, 5, 4, 3)).swapaxes(1, 2) for _ in range(3))
    y, pullback = nnx.vjp(F.attention, query, key, value)
    assert y.swapaxes(1, 2).flags.c_contiguous
    assert all(g.swapaxes(1, 2).flags.c_contiguous for g in pullback(y))
    assert_close(y, F.attention(*(np.ascontiguousarray(x) for x in (query, key, value))), rtol=1e-13)


def test_keys_that_are_masked_may_be_anything():
    """As those of a padded sequence: an infinite product is no reason for NaN."""
    query, key, value = (RNG.normal(size=(1, 4, 3)) for _ in range(3))
    key[0, 3] = np.nan
    mask = np.asarray([True, True, True, False])
    assert_close(F.attention(query, key, value, mask), F.attention(query, key[:, :3], value[:, :3]), rtol=1e-12)


@pytest.mark.parametrize(
    "arrays",
    [
        [np.ones((1, 2, 3), np.float16)] * 3,
        [np.ones((2, 2, 1, 2, 3))] * 3,
        [np.ones((1, 0, 3)), np.ones((1, 2, 3)), np.ones((1, 2, 3))],
    ],
)
def test_it_declines(arrays):
    choice = nnx.kernels.explain(F.attention, *arrays)
    assert choice.chosen == "portable"
    assert "at least 32 bits with at most one batch axis" in choice.declined["numpy, native"]


def test_small_sequences_are_one_block():
    assert len(list(kernel.blocks(4, 2, 1, 128, 128, 128))) == 1


@pytest.mark.parametrize(("library", "reason"), [("torch", "other masks"), ("jax", "compiled anew")])
def test_dropout_is_for_the_portable_body_on_other_libraries(library, reason):
    pytest.importorskip(library, reason=f"{library} is not installed")
    with nnx.use_backend("jax:cpu:0" if library == "jax" else library):
        x = nnx.backend.asarray(RNG.normal(size=(2, 3, 4)), dtype="float32")
    assert nnx.kernels.explain(F.attention, x, x, x).chosen == f"{library}, native"
    choice = nnx.kernels.explain(F.attention, x, x, x, dropout=0.5, seed=0)
    assert choice.chosen == "portable"
    assert reason in choice.declined[f"{library}, native"]
