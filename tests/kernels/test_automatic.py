"""Kernels that torch or JAX differentiates itself: no derivative is lost, whatever else differentiates around them."""

import numpy as np
import pytest

import nnx
from nnx.autodiff.dispatch import Declined, load_kernels
from nnx.errors import ShapeError
from nnx.testing import assert_close


@pytest.fixture(params=["torch", "jax"])
def library(request):
    library = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    if request.param == "jax":
        with library.enable_x64(True):
            yield library
    else:
        yield library


def asarray(library, data):
    return library.asarray(data) if library.__name__ == "torch" else library.numpy.asarray(data)


X, W = np.random.default_rng(0).normal(size=(2, 3, 3))


@pytest.fixture
def product(library):
    """A primitive x W, portable and native, which declines vectors and refuses other shapes."""

    @nnx.primitive
    def product(x, weight, *, scale=1.0):
        check(x, weight)
        return scale * (x @ weight)

    @product.with_pullback(fresh=True)
    def _(wanted, x, weight, *, scale=1.0):
        return product(x, weight, scale=scale), lambda g: (scale * (g @ weight.T), scale * (x.T @ g))

    def check(x, weight, *, scale=1.0):
        if x.ndim > 2:
            raise ShapeError(f"expected a matrix, got {tuple(x.shape)}")
        return Declined("x is a vector") if x.ndim == 1 else None

    module = pytest.importorskip(f"nnx.kernels.{library.__name__}.automatic")
    load_kernels(asarray(library, X))

    @module.native(product, check)
    def body(x, weight, *, scale=1.0):
        return scale * (x @ weight)

    return product


def squares(product, weight):
    return lambda x: nnx.namespace(x).sum(product(x, weight) ** 2)


EXPECTED = 2 * X @ W @ W.T


def test_the_kernel_runs_and_declines(library, product):
    x, w = asarray(library, X), asarray(library, W)
    assert nnx.kernels.explain(product, x, w).chosen == f"{library.__name__}, native"
    choice = nnx.kernels.explain(product, x[0], w)
    assert (choice.chosen, choice.declined) == ("portable", {f"{library.__name__}, native": "x is a vector"})
    with pytest.raises(ShapeError, match=r"expected a matrix, got \(1, 3, 3\)"):
        product(x[None], w)


def test_first_and_second_derivative(library, product):
    x, w = asarray(library, X), asarray(library, W)
    assert_close(nnx.to_numpy(nnx.grad(squares(product, w))(x)), EXPECTED)
    second = nnx.grad(lambda x: nnx.namespace(x).sum(nnx.grad(squares(product, w))(x) * w))(x)
    assert_close(nnx.to_numpy(second), 2 * W @ W @ W.T)


def test_only_what_is_wanted_is_returned(library, product):
    x, w, g = asarray(library, X), asarray(library, W), asarray(library, np.ones((3, 3)))
    _, pullback = nnx.vjp(lambda w: product(x, w), w)
    assert_close(nnx.to_numpy(pullback(g)), (X.T @ np.ones((3, 3)),))
    _, pullback = nnx.vjp(product, x, w)
    assert_close(nnx.to_numpy(pullback(g)), nnx.to_numpy(pullback(g)))


def test_an_option_of_another_type_is_not_taken_from_a_cache(library, product):
    x, w = asarray(library, X), asarray(library, W)
    for scale in (1.0, 2.0, True, 1):
        assert_close(nnx.to_numpy(product(x, w, scale=scale)), scale * (X @ W))


def test_a_derivative_of_torch_goes_through(product, library):
    if library.__name__ != "torch":
        pytest.skip("about torch")
    torch = library
    x, w = torch.asarray(X), torch.asarray(W)
    gradient = nnx.grad(squares(product, w))
    expected = torch.asarray(2 * np.ones((3, 3)) @ W @ W.T)
    leaf = x.clone().requires_grad_()
    assert torch.allclose(torch.autograd.grad(gradient(leaf).sum(), leaf)[0], expected)
    assert torch.allclose(torch.func.grad(lambda x: gradient(x).sum())(x), expected)
    assert torch.autograd.grad(product(leaf, w).sum(), leaf)[0].shape == (3, 3)
    batch = torch.stack([x, 2 * x])
    assert torch.allclose(torch.func.vmap(gradient)(batch)[1], 2 * gradient(x))


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_a_mode_of_torch_loses_no_derivative(product, library, mode):
    if library.__name__ != "torch":
        pytest.skip("about torch")
    with getattr(library, mode)():
        x, w = library.asarray(X) + 0.0, library.asarray(W)
        inside = nnx.grad(squares(product, w))(x)
    outside = nnx.grad(squares(product, w))(x)  # x may be of inference mode
    assert_close(nnx.to_numpy((inside, outside)), (EXPECTED, EXPECTED))


def test_transforms_of_jax_go_through(product, library):
    if library.__name__ != "jax":
        pytest.skip("about JAX")
    jax, x, w = library, library.numpy.asarray(X), library.numpy.asarray(W)
    gradient = nnx.grad(squares(product, w))
    assert_close(np.asarray(jax.jit(gradient)(x)), EXPECTED)
    assert_close(np.asarray(jax.grad(lambda x: gradient(x).sum())(x)), 2 * np.ones((3, 3)) @ W @ W.T)
    assert_close(np.asarray(jax.vmap(gradient)(x[None])[0]), EXPECTED)


def test_a_shape_is_compiled_once(product, library):
    if library.__name__ != "jax":
        pytest.skip("about JAX")
    from nnx.kernels.jax.automatic import _apply

    x, w = library.numpy.asarray(X), library.numpy.asarray(W)
    nnx.grad(squares(product, w))(x)
    compiled = _apply._cache_size()
    nnx.grad(squares(product, w))(2 * x)
    assert _apply._cache_size() == compiled
