"""Likelihoods and divergences where formulas end: variances and probabilities of 0, and what is refused."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close


def test_a_small_variance_counts_as_eps_and_keeps_its_derivative():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    arrays = np.asarray([1.0, 0.0]), np.asarray([0.0, 1.0]), np.asarray([0.25, 1.0])
    x, t, v = (torch.tensor(a, requires_grad=True) for a in arrays)
    expected = torch.nn.functional.gaussian_nll_loss(x, t, v, eps=0.5)
    expected.backward()
    value, gradients = nnx.value_and_grad(F.gaussian_nll, argnums=(0, 1, 2))(*arrays, eps=0.5)
    assert_close(np.asarray(value), expected.detach().numpy())
    assert_close(gradients, tuple(leaf.grad.numpy() for leaf in (x, t, v)))


def test_variances_are_checked():
    x = np.ones((4, 3))
    with pytest.raises(ArgumentError, match=r"expected variances of at least 0, got -1\.0; for logarithms, use exp"):
        F.gaussian_nll(x, x, -x)
    with pytest.raises(ArgumentError, match="expected eps > 0, got 0"):
        F.gaussian_nll(x, x, x, eps=0)
    with pytest.raises(ShapeError, match=r"variance of a shape that broadcasts to the input's, \(4, 3\), got \(4,\)"):
        F.gaussian_nll(x, x, np.ones(4))
    with pytest.raises(DTypeError, match="expected input of dtype float32, as variance, got float64"):
        F.gaussian_nll(x, x, x.astype(np.float32))
    with pytest.raises(DTypeError, match="expected input of dtype int64, as variance, got float64"):
        F.gaussian_nll(x, x, np.ones((4, 3), np.int64))


def test_the_parts_of_a_divergence_with_probability_zero(xp):
    target, log_p = xp.asarray([[0.0, 1.0]], "float64"), xp.asarray([[-np.inf, 0.0]], "float64")
    value, gradients = nnx.value_and_grad(F.kl_divergence, argnums=(0, 1))(log_p, target)
    assert float(nnx.to_numpy(value)) == 0.0
    assert_close(gradients, (xp.asarray([[0.0, -1.0]], "float64"), xp.asarray([[0.0, 1.0]], "float64")))


def test_the_mean_of_a_divergence():
    log_p, target = np.log(np.full((2, 4), 0.25)), np.asarray([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    found = [float(F.kl_divergence(log_p, target, reduction=r)) for r in ("sum", "batchmean", "mean")]
    np.testing.assert_allclose(found, np.log(4.0) / np.asarray([1.0, 2.0, 8.0]))
    with pytest.raises(ArgumentError, match="one of 'batchmean', 'mean', 'sum', 'none', got 'average'"):
        nnx.KLDivergence(reduction="average")
    with pytest.raises(ArgumentError, match="expected reduction to be one of 'batchmean'"):
        F.kl_divergence(log_p, target, reduction="average")
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, \.\.\.\), got \(\)"):
        F.kl_divergence(np.asarray(0.0), np.asarray(1.0))


def test_a_count_of_nothing_is_a_likelihood_too():
    value = F.poisson_nll(np.zeros(3), np.asarray([0.0, 1.0, 2.0]), full=True, log_input=False, reduction="none")
    stirling = 2 * np.log(2) - 2 + 0.5 * np.log(4 * np.pi)
    np.testing.assert_allclose(value, np.asarray([0.0, 0.0, stirling]) - np.arange(3) * np.log(1e-8))
