import sys

import numpy as np
import pytest

import nnx
from nnx.data import load_digits
from nnx.errors import ArgumentError, DTypeError, MissingExtraError, NonFiniteError, ShapeError
from nnx.optimizers import minimize
from nnx.testing import assert_close

needs_scipy = pytest.mark.usefixtures("scipy")


@pytest.fixture
def scipy():
    return pytest.importorskip("scipy", reason="SciPy is not installed")


def rosenbrock(point):
    return (1.0 - point["x"]) ** 2 + 100.0 * (point["y"] - point["x"] ** 2) ** 2


def banana(dtype="float64"):
    return {"x": np.asarray(-1.2, dtype), "y": np.asarray(1.0, dtype)}


@needs_scipy
@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "SLSQP", "Newton-CG", "trust-ncg", "trust-krylov"])
def test_rosenbrock_over_a_tree(method):
    start = banana()
    found, result = minimize(rosenbrock, start, method=method, tol=1e-8)
    assert list(found) == ["x", "y"]
    assert result.fun == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose([found["x"], found["y"]], 1.0, rtol=1e-4)
    assert (start["x"], start["y"]) == (-1.2, 1.0)


@needs_scipy
def test_on_every_library(xp):
    start = [xp.asarray([[3.0, -2.0]], "float64"), {"shift": xp.asarray([1.0], "float64")}]
    target = xp.asarray([[0.5, 0.25]], "float64")

    def distance(tree):
        space = nnx.namespace(tree[0])
        return space.sum((tree[0] - target) ** 2) + space.sum((tree[1]["shift"] - tree[0][0, :1]) ** 2)

    found, result = minimize(distance, start)
    assert result.success
    assert_close(found, [target, {"shift": target[0, :1]}], rtol=1e-4)


@needs_scipy
def test_parameters_keep_their_dtypes():
    start = {"x": np.asarray(-1.2, "float32"), "y": np.asarray(1.0, "float64")}
    found, result = minimize(rosenbrock, start, tol=1e-6)
    assert (found["x"].dtype, found["y"].dtype, result.x.dtype) == ("float32", "float64", "float64")
    np.testing.assert_allclose(result.x, 1.0, rtol=1e-2)


@needs_scipy
def test_logistic_regression_of_a_linear_layer():
    x, labels = load_digits()
    x = x.astype("float64")
    model = nnx.Linear(64, 10, rng=0, dtype="float64")

    def objective(model):
        decay = 1e-4 * nnx.namespace(model.weight).sum(model.weight**2)
        return nnx.functional.cross_entropy(model(x), labels) + decay

    first = float(objective(model))
    found, result = minimize(objective, model, options={"maxiter": 200})
    assert found is model
    assert result.fun == pytest.approx(float(objective(model)), rel=1e-12)
    assert result.fun < 0.1 * first
    assert np.mean(np.argmax(model(x), axis=1) == labels) > 0.97
    gradient = nnx.grad(objective)(model)
    assert max(np.max(np.abs(slope)) for slope in gradient.values()) < 1e-3
    model.backward(np.ones_like(model(x)))  # the model is whole, not a copy out of a transform


@needs_scipy
def test_options_are_handed_on():
    seen = []
    found, result = minimize(
        rosenbrock, banana(), bounds=[(None, 0.5), (None, None)], callback=seen.append, options={"maxiter": 40}
    )
    assert float(found["x"]) == pytest.approx(0.5)
    assert len(seen) == result.nit


@needs_scipy
def test_a_point_that_is_not_finite():
    with pytest.raises(NonFiniteError, match="the search came to a point where the function is nan; start elsewhere"):
        minimize(lambda x: x * np.nan, np.asarray(1.0))
    with pytest.raises(NonFiniteError, match="where the gradient for 'a' is not finite"), np.errstate(all="ignore"):
        minimize(lambda t: nnx.namespace(t["a"]).sqrt(t["a"]) + t["b"], {"a": np.asarray(0.0), "b": np.asarray(0.0)})
    with pytest.raises(NonFiniteError, match="where the gradient is not finite"), np.errstate(all="ignore"):
        minimize(lambda x: nnx.namespace(x).sqrt(x), np.asarray(0.0))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"a": np.asarray(1)}, "parameter 'a': expected a real floating-point dtype, got int64"),
        (np.asarray(1j), "the start: expected a real floating-point dtype, got complex128"),
        ([1.0], "parameter '0': expected an array of floating-point numbers, got float"),
    ],
)
def test_a_start_of_the_wrong_dtype(start, message):
    with pytest.raises(DTypeError, match=message):
        minimize(lambda tree: 0.0, start)


def test_a_start_without_parameters():
    with pytest.raises(ArgumentError, match="expected at least one parameter to search for, got an empty tree"):
        minimize(lambda tree: 0.0, {})


@needs_scipy
def test_a_value_that_is_no_number():
    with pytest.raises(ShapeError, match="expected a function that returns one number"):
        minimize(lambda x: x, np.ones(2))


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(
        MissingExtraError, match="minimize searches with SciPy, which is not installed: pip install scipy"
    ):
        minimize(rosenbrock, banana())
