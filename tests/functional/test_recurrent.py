"""Recurrent functions: against PyTorch over drawn shapes, masks, half precision, and errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows.recurrent import GATES, of_torch

import nnx
from nnx import functional as F
from nnx.autodiff.primitives import as_wanted
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close
from nnx.tree import tree_leaves

KINDS = list(GATES)
RNG = np.random.default_rng(0)


def draw(kind, batch=2, time=3, features=2, hidden=2, rng=RNG):
    width = GATES[kind] * hidden
    shapes = [(batch, time, features), (features, width), (hidden, width), (width,), (width,)]
    return [rng.normal(size=shape) for shape in shapes]


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_like_pytorch(data):
    """Of any sizes, lengths and direction, with and without an initial state; forward and gradients."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    kind = data.draw(st.sampled_from(KINDS))
    batch, time, features, hidden = (data.draw(st.integers(1, 4)) for _ in range(4))
    lengths = data.draw(st.none() | st.lists(st.integers(1, time), min_size=batch, max_size=batch))
    reverse = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = draw(kind, batch, time, features, hidden, rng)
    if data.draw(st.booleans()):
        arrays += [rng.normal(size=(batch, hidden)) for _ in range(2 if kind == "lstm" else 1)]
    mask = None if lengths is None else np.arange(time) < np.asarray(lengths)[:, None]
    y, pullback = nnx.vjp(lambda *arrays: getattr(F, kind)(*arrays, mask=mask, reverse=reverse), *arrays)
    cotangents = tuple(rng.normal(size=part.shape) for part in y)
    found = pullback(cotangents)

    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    x, *rest = leaves
    states = [s[None] for s in rest[4:]] or None
    if reverse:  # as PyTorch's other direction: the half of a bidirectional layer
        states = None if states is None else [torch.cat([torch.zeros_like(s), s]) for s in states]
    weights = [rest[:4]] * (2 if reverse else 1)
    expected = of_torch(torch, kind, x, weights, states, None if mask is None else torch.tensor(mask), 1, reverse)
    expected = (expected[0][..., -hidden:], *(s[-1] for s in expected[1:]))
    assert_close(y, tuple(part.detach().numpy() for part in expected), rtol=1e-10)
    total = sum((part * torch.tensor(c)).sum() for part, c in zip(expected, cotangents, strict=True))
    gradients = torch.autograd.grad(total, leaves)
    assert_close(found, tuple(g.numpy() for g in gradients), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kind", "reverse"), [("rnn", False), ("lstm", True), ("gru", False)])
def test_what_stands_in_the_padding_does_not_matter(xp, kind, reverse):
    x, *weights = draw(kind)
    mask = np.asarray([[True, False, False], [True, True, True]])
    states = [np.ones((2, 2))] * (2 if kind == "lstm" else 1)
    results = []
    for padding in (0.0, np.nan):
        filled = xp.asarray(np.where(mask[:, :, None], x, padding), "float64")
        arrays = [filled, *(xp.asarray(a, "float64") for a in (*weights, *states))]
        call = lambda *arrays: getattr(F, kind)(*arrays, mask=xp.asarray(mask, "bool"), reverse=reverse)  # noqa: E731
        y, pullback = nnx.vjp(call, *arrays)
        results.append((y, pullback(y)))
    assert_close(results[0], results[1], rtol=0.0)
    (y, *_), gradients = results[1]
    zeros = xp.asarray(np.zeros((2, 2)), "float64")
    assert_close(y[0, 1:, :], zeros, rtol=0.0)
    assert_close(gradients[0][0, 1:, :], zeros, rtol=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_without_steps_keeps_its_state(kind):
    x, *weights = draw(kind)
    states = [RNG.normal(size=(2, 2)) for _ in range(2 if kind == "lstm" else 1)]
    mask = np.zeros((2, 3), bool)
    y, pullback = nnx.vjp(lambda *states: getattr(F, kind)(x, *weights, *states, mask=mask), *states)
    assert_close(y, (np.zeros((2, 3, 2)), *states))
    assert_close(pullback(y), tuple(states))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_rounded_once(xp, kind):
    if not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")
    arrays = [xp.asarray(a, "float16") for a in draw(kind, time=8)]
    wide = [nnx.namespace(a).astype(a, xp.namespace.float32) for a in arrays]
    y, pullback = nnx.vjp(getattr(F, kind), *arrays)
    expected, pullback_32 = nnx.vjp(getattr(F, kind), *wide)
    ones = [nnx.namespace(part).ones_like(part) for part in y]
    ones_32 = [nnx.namespace(part).ones_like(part) for part in expected]
    pairs = zip((*y, *pullback(tuple(ones))), (*expected, *pullback_32(tuple(ones_32))), strict=True)
    for found, part in pairs:
        assert_close(found, nnx.namespace(part).astype(part, found.dtype), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_wanted_is_computed(kind):
    arrays = draw(kind)
    function = getattr(F, kind)
    for which in range(len(arrays)):
        wanted = as_wanted(i == which for i in range(8))
        y, pullback = function.rule(wanted, *arrays)
        found = pullback([np.ones_like(part) for part in y])
        assert [part is not None for part in found] == [i == which for i in range(len(found))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0, 1])
def test_a_cotangent_that_does_not_arrive_is_zero(kind, part):
    arrays = draw(kind)
    y, pullback = nnx.vjp(getattr(F, kind), *arrays)
    cotangents = [np.ones_like(p) if i == part else np.zeros_like(p) for i, p in enumerate(y)]
    _, other = nnx.vjp(lambda *arrays: getattr(F, kind)(*arrays)[part], *arrays)
    assert_close(other(cotangents[part]), pullback(tuple(cotangents)))


def test_relu():
    arrays = draw("rnn")
    y, hidden = F.rnn(*arrays, activation="relu")
    x, weight, recurrent_weight, bias, recurrent_bias = arrays
    expected = np.zeros((2, 2))
    for t in range(3):
        expected = np.maximum(x[:, t] @ weight + bias + expected @ recurrent_weight + recurrent_bias, 0)
        assert_close(y[:, t], expected)
    assert_close(hidden, expected)
    nnx.testing.check_gradients(lambda *arrays: F.rnn(*arrays, activation="relu"), *arrays)


def test_an_empty_batch(xp):
    arrays = [xp.asarray(a) for a in draw("lstm", batch=0)]
    y, pullback = nnx.vjp(F.lstm, *arrays)
    assert [tuple(part.shape) for part in y] == [(0, 3, 2), (0, 2), (0, 2)]
    assert [tuple(g.shape) for g in pullback(y)] == [tuple(a.shape) for a in arrays]


def wrong(message, kind="lstm", error=ShapeError, **changed):
    names = ("x", "weight", "recurrent_weight", "bias", "recurrent_bias")
    args = dict(zip(names, draw(kind), strict=True)) | changed
    with pytest.raises(error, match=message):
        getattr(F, kind)(**args)


def test_what_does_not_fit():
    ones = np.ones
    wrong(r"expected input of shape \(batch, time, 2\), got \(2, 2\)", x=ones((2, 2)))
    wrong(r"expected input of shape \(batch, time, 2\), got \(2, 3, 5\)", x=ones((2, 3, 5)))
    wrong(r"expected input of shape \(batch, time, 2\), with at least one step, got \(2, 0, 2\)", x=ones((2, 0, 2)))
    wrong(r"expected weight of shape \(features, 8\), got \(2, 7\)", weight=ones((2, 7)))
    wrong(r"expected recurrent_weight of shape \(hidden, 4 \* hidden\), got \(2, 6\)", recurrent_weight=ones((2, 6)))
    wrong(r"expected recurrent_weight of shape \(hidden, hidden\), got \(2, 3\)", "rnn", recurrent_weight=ones((2, 3)))
    wrong(r"expected bias of shape \(8,\), one for each column of the weights, got \(4,\)", bias=ones(4))
    wrong(r"expected recurrent_bias of shape \(8,\), .*, got \(1, 8\)", recurrent_bias=ones((1, 8)))
    wrong(
        r"expected hidden of shape \(2, 2\), the batch and the rows of recurrent_weight, got \(2, 3\)",
        hidden=ones((2, 3)),
    )
    wrong(r"expected cell of shape \(2, 2\), .*, got \(3, 2\)", cell=ones((3, 2)))
    wrong(r"expected hidden of shape \(2, 2\), .*, got \(1, 2, 2\)", "gru", hidden=ones((1, 2, 2)))
    wrong(r"expected mask of shape \(2, 3\), \(batch, time\) of the input, got \(3, 2\)", mask=ones((3, 2), bool))
    wrong(
        "expected a boolean mask, True where a step is taken, got int64; .*lengths",
        error=DTypeError,
        mask=np.asarray([1, 3]),
    )
    wrong("expected input of dtype float32, as weight, got float64", error=DTypeError, weight=ones((2, 8), np.float32))
    wrong("expected input of a real dtype, got complex128", error=DTypeError, x=ones((2, 3, 2), complex))
    wrong("expected activation to be one of 'tanh', 'relu', got 'elu'", "rnn", ArgumentError, activation="elu")
    wrong("expected mask to be an array, got float", error=DTypeError, mask=1.0)


def test_the_tree_of_results():
    assert len(tree_leaves(F.lstm(*draw("lstm")))) == 3
    assert len(tree_leaves(F.gru(*draw("gru")))) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_operations_are_those_of_the_products(kind):
    layer = getattr(nnx, kind.upper())(3, 4, layers=2, bidirectional=True, rng=0)
    products = 2 * 2 * 5 * GATES[kind] * 4  # multiply-adds, examples, steps, columns
    count = 2 * products * (3 + 4) + 2 * products * (8 + 4)  # two directions of two layers
    assert f"{count:,}" in layer.summary((2, 5, 3))
