"""JAX's own transforms see the portable body of an activation, which has forward mode too."""

import numpy as np
import pytest

import nnx
from nnx import functional as F

jax = pytest.importorskip("jax", reason="JAX is not installed")


@pytest.mark.parametrize("function", [F.gelu, F.silu, F.softmax, F.glu])
def test_transforms_of_jax(function):
    x = jax.numpy.asarray(np.linspace(-2.0, 2.0, 8, dtype="float32").reshape(2, 4))
    assert nnx.kernels.explain(function, x).chosen == "jax, native"
    np.testing.assert_allclose(jax.jit(function)(x), function(x), rtol=1e-6)
    _, tangent = jax.jvp(function, (x,), (jax.numpy.ones_like(x),))
    _, expected = nnx.jvp(function, (x,), (jax.numpy.ones_like(x),))
    np.testing.assert_allclose(tangent, expected, rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda x: jax.numpy.sum(function(x) ** 2))(x)
    by_nnx = nnx.grad(lambda x: nnx.namespace(x).sum(function(x) ** 2))(x)
    np.testing.assert_allclose(gradient, by_nnx, rtol=1e-5, atol=1e-6)
