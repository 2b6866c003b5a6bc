"""Connectionist temporal classification against PyTorch, and what cannot be aligned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close


@given(seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(max_examples=25)
@pytest.mark.parametrize("tier", ["portable", "native"])
def test_any_lengths_against_pytorch(seed, data, tier):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng, draw = np.random.default_rng(seed), data.draw
    batch, times, classes, length = (draw(st.integers(*bounds)) for bounds in ((1, 4), (1, 8), (2, 5), (0, 4)))
    blank, scale = draw(st.integers(0, classes - 1)), draw(st.sampled_from([1.0, 100.0]))
    options = {
        "blank": blank,
        "zero_infinity": draw(st.booleans()),
        "reduction": draw(st.sampled_from(["none", "mean"])),
    }
    labels = rng.choice([k for k in range(classes) if k != blank], size=(batch, length))
    times_of, lengths = rng.integers(1, times + 1, size=batch), rng.integers(0, length + 1, size=batch)
    if not options["zero_infinity"]:  # only what fits: equal labels take a time between them
        lengths = np.minimum(lengths, (times_of + 1) // 2)
    x = torch.tensor(rng.normal(scale=scale, size=(batch, times, classes)), requires_grad=True)
    log_p = torch.log_softmax(x, -1)
    rest = [torch.tensor(a) for a in (labels, times_of, lengths)]
    expected = torch.nn.functional.ctc_loss(log_p.transpose(0, 1), *rest, **options)
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    with nnx.use_kernels(tier):
        plain = x.detach()
        value, pullback = nnx.vjp(lambda x: F.ctc(F.log_softmax(x), *rest, **options), plain)
        found = pullback(torch.ones_like(value))[0]
    assert_close(value, expected.detach(), rtol=1e-9, atol=1e-9)
    assert_close(found, gradient, rtol=1e-7, atol=1e-9)


def test_a_long_input_stays_finite(xp):
    if xp.name == "jax":
        pytest.skip("JAX compiles each operation")
    rng = np.random.default_rng(0)
    log_p = F.log_softmax(xp.asarray(rng.normal(scale=30.0, size=(1, 60, 4)), "float32"))
    target = xp.asarray([[1, 2, 3, 3, 1]], "int64")
    value, pullback = nnx.vjp(lambda x: F.ctc(x, target), log_p)
    posterior = -nnx.to_numpy(pullback(value * 0.0 + 5.0)[0])
    assert np.isfinite(nnx.to_numpy(value))
    np.testing.assert_allclose(posterior.sum(axis=2), 1.0, rtol=1e-3)


def test_a_class_of_probability_zero(xp):
    if xp.name == "jax":
        pytest.skip("JAX compiles each operation")
    log_p = xp.asarray(np.log([[[0.5, 0.5, 1e-300], [0.5, 0.5, 1e-300]]]), "float64")
    log_p = xp.namespace.where(log_p < -600.0, xp.namespace.asarray(-np.inf, device=xp.device), log_p)
    value, pullback = nnx.vjp(lambda x: F.ctc(x, xp.asarray([[1]], "int64")), log_p)
    assert_close(value, xp.asarray(-np.log(0.75), "float64"))
    gradient = nnx.to_numpy(pullback(0.0 * value + 1.0)[0])
    np.testing.assert_allclose(gradient, [[[-1 / 3, -2 / 3, 0.0]] * 2])
    assert float(nnx.to_numpy(F.ctc(log_p, xp.asarray([[2]], "int64")))) == np.inf


def test_a_target_that_is_too_long(xp):
    log_p, target = (
        xp.asarray(np.log(np.full((2, 3, 3), 1 / 3)), "float64"),
        xp.asarray([[1, 2, 0], [1, 1, 2]], "int64"),
    )
    lengths = xp.asarray([2, 3], "int64")
    value, pullback = nnx.vjp(lambda x: F.ctc(x, target, None, lengths, zero_infinity=True, reduction="none"), log_p)
    assert nnx.to_numpy(value)[1] == 0.0
    assert (nnx.to_numpy(pullback(0.0 * value + 1.0)[0])[1] == 0.0).all()
    if xp.name == "array-api-strict":  # reading the labels would stop the queue of a device
        assert nnx.to_numpy(F.ctc(log_p, target, None, lengths, reduction="none"))[1] == np.inf
        return
    message = "fit into their inputs, got 3 labels that take 4 times for an input of 3 in example 1; zero_infinity=True"
    with pytest.raises(ArgumentError, match=message):
        nnx.CTC()(log_p, target, None, lengths)


def test_arguments_are_checked():
    log_p, target = np.zeros((2, 4, 3)), np.ones((2, 1), np.int64)
    with pytest.raises(ShapeError, match=r"log_probabilities of shape \(time, batch, classes\), .* got \(0, 4, 3\)"):
        F.ctc(np.zeros((0, 4, 3)), target, batch_first=False)
    with pytest.raises(ShapeError, match=r"target of shape \(2, length\), got \(4,\); pad targets of different"):
        F.ctc(log_p, np.ones(4, np.int64))
    with pytest.raises(ShapeError, match=r"input_lengths of shape \(2,\), one for each example, got \(3,\)"):
        F.ctc(log_p, target, np.ones(3, np.int64))
    with pytest.raises(DTypeError, match="expected target_lengths of an integer dtype, got float64"):
        F.ctc(log_p, target, None, np.ones(2))
    with pytest.raises(DTypeError, match="expected log_probabilities of a floating-point dtype, got int64"):
        F.ctc(np.zeros((2, 4, 3), np.int64), target)
    with pytest.raises(ArgumentError, match="expected blank to be a class from 0 to 2, got 3"):
        F.ctc(log_p, target, blank=3)
    for label in (0, 3, -1):
        with pytest.raises(ArgumentError, match=f"labels from 0 to 2 other than the blank, 0, got {label}; pass"):
            F.ctc(log_p, np.full((2, 1), label))
    with pytest.raises(ArgumentError, match="expected input_lengths from 1 to 4, got 5"):
        F.ctc(log_p, target, np.asarray([4, 5]))
    with pytest.raises(ArgumentError, match="expected target_lengths from 0 to 1, got 2"):
        F.ctc(log_p, target, None, np.asarray([1, 2]))
