"""What all optimizers share: refused gradients, states that do not fit, moving."""

import copy

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, BackendError, CheckpointError, DeviceError, DTypeError, ShapeError, UsageError
from nnx.testing import assert_close


def model_of(seed=0, spec="numpy"):
    with nnx.use_backend(spec):
        return nnx.Model([nnx.Linear(2, 3, rng=seed), nnx.Linear(3, 2, rng=seed)])


def ones(model):
    return {path: nnx.namespace(w).ones_like(w) for path, w in model.parameters().items()}


def test_gradients_must_fit_the_model():
    optimizer = nnx.SGD(nnx.Linear(1, 1), learning_rate=0.1)
    with pytest.raises(ArgumentError, match=r"missing \['bias'\], not in the model \['other'\]"):
        optimizer.step({"weight": np.ones((1, 1)), "other": 0.0})


FLAWS = {
    "shape": (lambda g: g[:1], ShapeError, r"the gradient of '1\.weight': expected shape \(3, 2\), .*, got \(1, 2\)"),
    "broadcast": (
        lambda g: np.float32(1.0) * g[0, 0],
        ShapeError,
        r"expected shape \(3, 2\), as the parameter, got \(\)",
    ),
    "dtype": (lambda g: g.astype("f8"), DTypeError, "expected dtype float32, as the parameter, got float64"),
    "number": (lambda g: 1.0, DTypeError, "the gradient of '1.weight': expected an array, as the parameter, got float"),
    "None": (lambda g: None, DTypeError, "expected an array, as the parameter, got NoneType"),
    "list": (lambda g: g.tolist(), DTypeError, "expected an array, as the parameter, got list"),
}


@pytest.mark.parametrize("style", ["step", "update"])
@pytest.mark.parametrize("kind", FLAWS)
def test_a_gradient_that_is_not_like_its_parameter(kind, style):
    spoil, error, message = FLAWS[kind]
    model = model_of()
    optimizer = nnx.SGD(model, 0.1, momentum=0.9)
    before = copy.deepcopy((model.parameters(), optimizer.state_dict()))
    gradients = ones(model)
    gradients["1.weight"] = spoil(gradients["1.weight"])
    vars(model)["_gradients"] = gradients
    with pytest.raises(error, match=message):
        optimizer.step(gradients) if style == "step" else model.update(0.1)
    assert_close((model.parameters(), optimizer.state_dict()), before, rtol=0.0)


def test_a_gradient_of_another_library_or_device():
    strict = pytest.importorskip("array_api_strict")
    model = model_of()
    gradients = ones(model)
    gradients["0.bias"] = strict.ones(3, dtype=strict.float32)
    with pytest.raises(BackendError, match=r"'0\.bias': expected library numpy, .*got array-api-strict"):
        nnx.SGD(model, 0.1).step(gradients)
    model.to("array-api-strict:device1")
    gradients = {path: strict.asarray(np.asarray(g)) for path, g in ones(model_of()).items()}
    with pytest.raises(DeviceError, match=r"the gradient of '0\.weight': expected device .*device1.*, got .*CPU"):
        nnx.SGD(model, 0.1).step(gradients)


@pytest.mark.parametrize("gradients", [None, [np.ones(1)], np.ones(1), 0.1])
def test_gradients_that_are_no_dict(gradients):
    with pytest.raises(ArgumentError, match=r"expected gradients as a dict from dotted path to array, .* got"):
        nnx.SGD(model_of(), 0.1).step(gradients)


def test_a_model_without_parameters():
    model = nnx.Model([nnx.ReLU()])
    optimizer = nnx.SGD(model, 0.1, momentum=0.9)
    optimizer.step(nnx.grad(lambda model: nnx.functional.mse(model(np.ones(2)), np.zeros(2)))(model))
    assert optimizer.state_dict() == {"step": 1}
    model.backward(model(np.ones(2)))
    model.update(0.1)
    assert model.gradients() == {}


def test_missing_and_extra_paths_are_listed():
    model = model_of()
    gradients = ones(model)
    gradients["2.weight"] = gradients.pop("0.bias")
    with pytest.raises(ArgumentError, match=r"missing \['0\.bias'\], not in the model \['2\.weight'\]"):
        nnx.SGD(model, 0.1).step(gradients)
    with pytest.raises(ArgumentError, match=r"missing \[\], not in the model \['3\.bias'\]"):
        nnx.SGD(model, 0.1).step(ones(model) | {"3.bias": np.ones(1)})


@pytest.mark.parametrize("what", [{"weight": np.ones(1)}, [nnx.Linear(1, 1)], None, 0.1], ids=repr)
def test_what_is_no_model(what):
    got = type(what).__name__
    with pytest.raises(ArgumentError, match=rf"expected the model itself, .*, got {got}; write SGD\(model, learn"):
        nnx.SGD(what, 0.1)


def test_the_name_that_others_have_for_the_learning_rate():
    with pytest.raises(ArgumentError, match="SGD has no argument 'lr'; the step size is called learning_rate"):
        nnx.SGD(model_of(), lr=0.1)
    with pytest.raises(TypeError, match="rate"):
        nnx.SGD(model_of(), rate=0.1)


def test_an_optimizer_without_a_rule():
    with pytest.raises(UsageError, match=r"an optimizer needs a rule\(gradients, state"):
        nnx.optimizers.Optimizer(model_of(), 0.1).step(ones(model_of()))


class TestAnotherModel:
    def objective(self, model):
        return nnx.functional.mse(model(np.ones((1, 2), np.float32)), np.zeros((1, 2), np.float32))

    def test_of_equal_shapes(self):
        mine, other = model_of(), model_of(1)
        before = copy.deepcopy(mine.parameters())
        optimizer = nnx.SGD(mine, 0.1)
        gradients = nnx.grad(self.objective)(other)
        with pytest.raises(UsageError, match="of another Sequential than the Sequential that this SGD was made"):
            optimizer.step(gradients)
        assert_close(mine.parameters(), before, rtol=0.0)
        nnx.SGD(other, 0.1).step(gradients)
        optimizer.step(nnx.grad(self.objective)(mine))

    def test_in_the_words_of_the_post(self):
        mine, other, loss = model_of(), model_of(1), nnx.MSE()
        x = np.ones((1, 2), np.float32)
        loss(other(x), x)
        other.backward(loss.gradient())
        with pytest.raises(UsageError, match="gradients of another Sequential"):
            nnx.SGD(mine, 0.1).step(other.gradients())

    def test_a_part_of_the_model_is_none(self):
        model = model_of()
        gradients = nnx.grad(self.objective)(model)
        last = {path.removeprefix("1."): g for path, g in gradients.items() if path.startswith("1.")}
        nnx.SGD(model[1], 0.1).step(last)
        nnx.SGD(model, 0.1).step(nnx.grad(self.objective)(model))

    def test_what_went_through_arithmetic_is_not_checked(self):
        mine, other = model_of(), model_of(1)
        gradients = {path: 0.5 * g for path, g in nnx.grad(self.objective)(other).items()}
        nnx.SGD(mine, 0.1).step(gradients)

    def test_two_models_at_once(self):
        models = model_of(), model_of(1)

        def both(a, b):
            return self.objective(a) + self.objective(b)

        first, second = nnx.grad(both, (0, 1))(*models)
        with pytest.raises(UsageError, match="gradients of another"):
            nnx.SGD(models[0], 0.1).step(second)
        nnx.SGD(models[0], 0.1).step(first)


class TestState:
    def test_it_is_flat(self, xp):
        model = model_of(spec=xp.spec)
        optimizer = nnx.SGD(model, 0.1, momentum=0.9)
        optimizer.step(ones(model))
        state = optimizer.state_dict()
        assert list(state) == ["step", *(f"velocity.{path}" for path in model.parameters())]
        assert state["step"] == 1
        assert type(state["step"]) is int
        assert_close(state["velocity.0.weight"], xp.asarray(np.ones((2, 3))))

    def test_it_comes_from_any_library(self, xp):
        model, host = model_of(spec=xp.spec), model_of()
        optimizer, saved = nnx.SGD(model, 0.1, momentum=0.9), nnx.SGD(host, 0.1, momentum=0.9)
        saved.step(ones(host))
        optimizer.load_state_dict(saved.state_dict())
        own = optimizer.state_dict()["velocity.1.bias"]
        assert nnx.namespace(own) is nnx.namespace(model[1].bias)
        assert nnx.backend.device_of(own) == nnx.backend.device_of(model[1].bias)
        optimizer.step(ones(model))

    def test_it_must_fit(self):
        optimizer = nnx.SGD(model_of(), 0.1, momentum=0.9)
        optimizer.step(ones(optimizer.model))
        state = optimizer.state_dict()
        before = copy.deepcopy(state)
        wrong = state | {"velocity.0.bias": np.ones(2, "f4"), "extra": 1, "velocity.1.bias": np.ones(2)}
        del wrong["velocity.0.weight"]
        with pytest.raises(CheckpointError) as error:
            optimizer.load_state_dict(wrong)
        assert str(error.value) == (
            "the saved values do not fit SGD: velocity.0.weight: missing; extra: not in its state; "
            "velocity.0.bias: expected shape (3,), got (2,); velocity.1.bias: expected dtype float32, got float64"
        )
        for step, message in (
            (-1, "step: expected >= 0, got -1"),
            (1.5, "step: expected an integer, got 1.5"),
            ("2", "step: expected an integer, got '2'"),
            (np.ones(2, int), r"step: expected a number, got shape \(2,\)"),
        ):
            with pytest.raises(CheckpointError, match=message):
                optimizer.load_state_dict(state | {"step": step})
        with pytest.raises(CheckpointError, match=r"velocity\.0\.weight: not in its state"):
            nnx.SGD(model_of(), 0.1).load_state_dict(state)
        assert_close(optimizer.state_dict(), before, rtol=0.0)
        assert optimizer.load_state_dict(state | {"step": np.asarray(7)}).state_dict()["step"] == 7

    def test_it_moves(self, xp):
        model = model_of()
        optimizer = nnx.SGD(model, 0.1, momentum=0.9)
        optimizer.step(ones(model))
        model.to(xp.spec, dtype="float64")
        if not xp.name.startswith("numpy"):
            with pytest.raises(UsageError, match=r"keeps 'velocity' of '0\.weight' on another device .*optimizer\.to"):
                optimizer.step(ones(model))
        assert optimizer.to(xp.spec, dtype="float64") is optimizer
        optimizer.step(ones(model))
        assert {nnx.backend.dtype_name(w.dtype) for w in model.parameters().values()} == {"float64"}
        assert optimizer.state_dict()["velocity.0.weight"].dtype == model[0].weight.dtype

    def test_before_the_first_step_it_follows_the_model(self, xp):
        model = model_of()
        optimizer = nnx.SGD(model, 0.1, momentum=0.9).to(xp.spec)
        model.to(xp.spec)
        optimizer.step(ones(model))

    def test_parameters_that_came_or_went(self):
        model = model_of()
        optimizer = nnx.SGD(model, 0.1, momentum=0.9)
        optimizer.step(ones(model))
        model[0].extra = nnx.Parameter(np.ones(2, np.float32))
        message = r"parameters have changed since this optimizer was made: gone \[\], new \['0\.extra'\]; make a new"
        for use in (lambda: optimizer.step(ones(model)), optimizer.state_dict):
            with pytest.raises(UsageError, match=message):
                use()
        model[0].other = model[0].extra
        del model[0].bias
        with pytest.raises(UsageError, match=r"gone .*, new"):
            optimizer.step(ones(model))
        nnx.SGD(model, 0.1, momentum=0.9).step(ones(model))
