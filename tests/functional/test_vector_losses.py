"""Losses of vectors at kinks and zeros, and what is refused."""

import math

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close


def by_torch(function, *arrays, **options):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    leaves = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    value = getattr(torch.nn.functional, function)(*leaves, **options)
    value.backward()
    return value.detach().numpy(), tuple(leaf.grad.numpy() for leaf in leaves if leaf.requires_grad)


@pytest.mark.parametrize("target", [1, -1])
def test_cosines_of_zeros_and_at_the_kink(target):
    x1, x2 = np.asarray([[1.0, 0.0], [0.0, 0.0]]), np.asarray([[0.0, 1.0], [0.0, 1.0]])
    target = np.full(2, target)
    value, gradients = nnx.value_and_grad(F.cosine_embedding, argnums=(0, 1))(x1, x2, target)
    expected = by_torch("cosine_embedding_loss", x1, x2, target)
    assert_close((np.asarray(value), gradients), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"swap": True}, {"p": 1.0}, {"p": math.inf}, {"p": 3.0, "swap": True}, {"eps": 0.0}]
)
def test_triplets_at_kinks_and_ties(options):
    anchor, positive, negative = np.zeros((2, 2)), np.asarray([[1.0, 1.0], [0.0, 0.5]]), np.asarray([[0.5, 0.5]] * 2)
    value, gradients = nnx.value_and_grad(F.triplet_margin, argnums=(0, 1, 2))(anchor, positive, negative, **options)
    expected = by_torch("triplet_margin_loss", anchor, positive, negative, **options)
    assert_close((np.asarray(value), gradients), expected, atol=1e-9)


def test_triplets_are_checked():
    x = np.ones((4, 3))
    with pytest.raises(ArgumentError, match="expected margin > 0, got 0"):
        F.triplet_margin(x, x, x, margin=0)
    with pytest.raises(ArgumentError, match=r"expected p >= 1, got 0\.5"):
        F.triplet_margin(x, x, x, p=0.5)
    with pytest.raises(ShapeError, match=r"expected negative of shape \(4, 3\), as the anchor, got \(4,\)"):
        F.triplet_margin(x, x, np.ones(4))
    with pytest.raises(ShapeError, match=r"expected anchor of shape \(\.\.\., features\), got \(\)"):
        F.triplet_margin(*3 * [np.asarray(1.0)])


def test_pairs_are_checked():
    x = np.ones((4, 3))
    with pytest.raises(ShapeError, match=r"expected target of shape \(4,\), one for each pair, got \(3,\)"):
        F.cosine_embedding(x, x, np.ones(3))
    with pytest.raises(ArgumentError, match=r"expected a target of -1 and 1, got 0"):
        F.cosine_embedding(x, x, np.zeros(4, np.int64))
    with pytest.raises(ShapeError, match=r"expected x1 of shape \(\.\.\., features\), got \(\)"):
        F.cosine_embedding(np.asarray(1.0), np.asarray(1.0), np.asarray(1))
    with pytest.raises(ShapeError, match=r"expected queries of shape \(batch, features\), got \(3,\)"):
        F.info_nce(np.ones(3), np.ones(3))
    for temperature in (0.0, math.inf, math.nan):
        with pytest.raises(ArgumentError, match="expected temperature > 0, got"):
            F.info_nce(x, x, temperature=temperature)


def test_lengths_do_not_matter_to_info_nce(xp):
    rng = np.random.default_rng(0)
    q, k = (xp.asarray(rng.normal(size=(4, 3)), "float64") for _ in range(2))
    assert_close(F.info_nce(1e4 * q, 1e-4 * k), F.info_nce(q, k))
    assert np.isfinite(nnx.to_numpy(nnx.grad(lambda q: F.info_nce(0.0 * q, k))(q))).all()
