"""What single optimizers do, beyond the battery."""

import math

import numpy as np
import pytest

import nnx
from nnx.backend import blocks
from nnx.errors import ArgumentError, DTypeError
from nnx.optimizers.nadam import _known_product, _momentum
from nnx.testing import assert_close

ALL = [getattr(nnx.optimizers, name) for name in nnx.optimizers.__all__]
RULES = [
    kind
    for kind in ALL
    if isinstance(kind, type) and issubclass(kind, nnx.Optimizer) and kind.is_elementwise and kind is not nnx.Optimizer
]
each = pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
wide = pytest.mark.parametrize("kind", [kind for kind in RULES if kind is not nnx.SGD], ids=lambda kind: kind.__name__)


def one(dtype="float32", value=1.0):
    return nnx.Linear(1, 1, bias=False, dtype=dtype, initializer=nnx.initializers.Constant(value))


def steps(optimizer, gradients, dtype="float32"):
    for gradient in gradients:
        optimizer.step({"weight": np.full((1, 1), gradient, dtype)})
    return optimizer.model.weight.item()


@pytest.mark.parametrize("psi", [0.0, 0.004, 0.5, 10.0])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
def test_the_product_of_nadams_momenta_is_that_of_its_factors(beta, psi):
    product = 1.0
    for t in range(1, 1001):
        product *= _momentum(beta, psi, t)
        assert math.isclose(_known_product(beta, psi, t), product, rel_tol=1e-10, abs_tol=1e-300)


def test_radam_does_not_divide_by_what_it_does_not_know():
    assert steps(nnx.RAdam(one("float64"), 0.1), [2.0] * 5, "float64") == pytest.approx(0.0, abs=1e-12)
    assert steps(nnx.RAdam(one("float64"), 0.1), [2.0] * 6, "float64") > -0.01


def test_a_variance_below_zero_counts_as_zero():
    optimizer = nnx.RMSprop(one(), 1e-3, rho=0.5, centered=True)
    for _ in range(60):
        optimizer.step({"weight": np.full((1, 1), 3.3, np.float32)})
    assert np.isfinite(optimizer.model.weight).all()


def test_lion_moves_by_the_learning_rate_alone():
    assert steps(nnx.Lion(one(), 0.25), [1e-6]) == 0.75
    assert steps(nnx.Lion(one(), 0.25), [-7.0]) == 1.25
    assert steps(nnx.Lion(one(), 0.25), [0.0]) == 1.0
    assert math.isnan(steps(nnx.Lion(one(), 0.25), [math.nan]))


def test_amsgrad_keeps_the_largest_mean_square():
    optimizers = [nnx.Adam(one(), betas=(0.0, 0.5), amsgrad=amsgrad) for amsgrad in (False, True)]
    for optimizer in optimizers:
        steps(optimizer, [10.0, 1.0, 1.0])
    plain, largest = (optimizer.state_dict() for optimizer in optimizers)
    assert "largest_second_moment.weight" not in plain
    assert largest["largest_second_moment.weight"].item() == 50.0 > largest["second_moment.weight"].item()


def test_adagrad_starts_at_its_value_in_groups_too():
    model = nnx.Linear(1, 1)
    optimizer = nnx.Adagrad(
        model, initial_accumulator_value=0.5, groups=[{"paths": "bias", "initial_accumulator_value": 2.0}]
    )
    state = optimizer.state_dict()
    assert [state["sum_of_squares.weight"].item(), state["sum_of_squares.bias"].item()] == [0.5, 2.0]


@wide
def test_a_state_in_half_precision_is_kept_in_float32(kind):
    model = one("float16")
    optimizer = kind(model)
    steps(optimizer, [1.0, 2.0], "float16")
    assert model.weight.dtype == "float16"
    assert {x.dtype.name for name, x in optimizer.state_dict().items() if name != "step"} == {"float32"}
    optimizer.to(dtype="float16")
    assert {x.dtype.name for name, x in optimizer.state_dict().items() if name != "step"} == {"float32"}


@each
def test_half_precision_is_the_step_of_float32_rounded(kind, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 5)  # a block of it is computed at a time
    draw = np.random.default_rng(0)
    small, large = (nnx.Linear(4, 3, rng=0, dtype=dtype) for dtype in ("float16", "float32"))
    optimizers = [
        kind(model, 0.01, weight_decay=0.1, groups=[{"paths": "bias", "learning_rate": 0.1}])
        for model in (small, large)
    ]
    for _ in range(3):
        large.replace_parameters({path: w.astype("f4") for path, w in small.parameters().items()})
        gradients = {
            path: (1e-4 * draw.standard_normal(w.shape)).astype("f2") for path, w in small.parameters().items()
        }
        optimizers[0].step(gradients)  # whose squares would be 0 in float16
        optimizers[1].step({path: g.astype("f4") for path, g in gradients.items()})
        assert_close(small.parameters(), {p: w.astype("f2") for p, w in large.parameters().items()}, rtol=0.0, atol=0.0)
    assert_close(*(optimizer.state_dict() for optimizer in optimizers), rtol=0.0, atol=0.0)


def test_a_state_of_your_own_may_be_in_half_precision(xp):
    if not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")

    class Momentum(nnx.optimizers.Optimizer):
        flushed = frozenset({"velocity"})

        @staticmethod
        def init(parameters, hyperparameters):
            return {"velocity": [nnx.namespace(w).zeros_like(w) for w in parameters]}

        @staticmethod
        def rule(gradients, state, parameters, step, hyperparameters):
            assert {nnx.backend.dtype_name(x.dtype) for x in (*gradients, *parameters, *state["velocity"])} == {
                "float32"
            }
            velocities = [0.5 * v + g for v, g in zip(state["velocity"], gradients, strict=True)]
            return [w - v for w, v in zip(parameters, velocities, strict=True)], {"velocity": velocities}

    with nnx.use_backend(xp.spec):
        optimizer = Momentum(one("float16"), 1.0)
    for _ in range(2):
        optimizer.step({"weight": xp.asarray([[0.25]], "float16")})
    assert_close(optimizer.model.weight, xp.asarray([[0.375]], "float16"))
    assert_close(optimizer.state_dict()["velocity.weight"], xp.asarray([[0.375]], "float16"))


class TestFlush:
    def test_it_is_a_function_of_the_step(self, xp):
        v = xp.asarray([1e-35, -1e-35, 1e-33, -1e-33, float("nan"), float("inf"), 0.0], "float32")
        w, g = xp.asarray(np.zeros(7), "float32"), xp.asarray(np.zeros(7), "float32")
        options = {"learning_rate": 0.5, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0}
        expected = np.asarray([1e-35, -1e-35, 1e-33, -1e-33, np.nan, np.inf, 0.0], "f4") / 2
        for step in range(34):
            state = nnx.SGD.update([g], {"velocity": [v]}, [w], step, options)[1]
            clear = np.where(np.abs(expected) < 7.70372e-34 / 2, 0.0, expected) if step % 16 == 0 else expected
            np.testing.assert_array_equal(nnx.to_numpy(state["velocity"][0]), clear.astype("f4"))

    def test_large_arrays_are_written_in_place(self, monkeypatch):
        monkeypatch.setattr(blocks, "BLOCK", 3)
        v, w, g = np.full(10, 1e-36, "f4"), np.zeros(10, "f4"), np.zeros(10, "f4")
        options = {"learning_rate": 0.5, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0}
        state = nnx.SGD.update([g], {"velocity": [v]}, [w], 0, options, [True])[1]
        assert state["velocity"][0] is v
        assert not v.any()


@each
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
def test_errors_for_numbers_out_of_range(kind, name):
    with pytest.raises(ArgumentError, match=f"expected a finite {name} >= 0, got -1"):
        kind(one(), **{"learning_rate": 0.1, name: -1})


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (nnx.RMSprop, {"rho": 1.0}, r"expected rho in \[0, 1\), got 1.0"),
        (nnx.RMSprop, {"rho": "0.9"}, r"expected rho in \[0, 1\), got '0.9'"),
        (nnx.RMSprop, {"centered": 1}, "expected centered to be True or False, got 1"),
        (nnx.RMSprop, {"momentum": -1}, "expected a finite momentum >= 0, got -1"),
        (nnx.Adadelta, {"rho": None}, r"expected rho in \[0, 1\), got None"),
        (nnx.Adadelta, {"eps": 0}, "expected a finite eps > 0, got 0"),
        (nnx.Adagrad, {"initial_accumulator_value": -1}, "expected a finite initial_accumulator_value >= 0, got -1"),
        (nnx.NAdam, {"momentum_decay": -1}, "expected a finite momentum_decay >= 0, got -1"),
        (nnx.Lion, {"betas": 0.9}, r"expected betas to be two numbers in \[0, 1\), got 0.9"),
        (nnx.Adam, {"amsgrad": "yes"}, "expected amsgrad to be True or False, got 'yes'"),
    ],
)
def test_errors_for_other_hyperparameters(kind, options, message):
    with pytest.raises(ArgumentError, match=message):
        kind(one(), **options)


@wide
def test_error_for_complex_parameters(kind):
    with pytest.raises(DTypeError, match=r"expected real parameters, got complex64; use nnx\.SGD"):
        kind(one("complex64")).step({"weight": np.ones((1, 1), "complex64")})


def test_complex_parameters_with_momentum(xp):
    with nnx.use_backend(xp.spec):
        model = one("complex64")
    optimizer = nnx.SGD(model, 0.5, momentum=0.5)
    for _ in range(2):
        optimizer.step({"weight": xp.asarray([[1j]], "complex64")})
    assert_close(model.weight, xp.asarray([[1 - 1.25j]], "complex64"))
