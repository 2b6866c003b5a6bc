"""L-BFGS: the same points as PyTorch's, on every library."""

import copy
import json
import pickle
import re

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError, DTypeError, NonFiniteError, ShapeError, UsageError
from nnx.testing import assert_close

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.sin(X.sum(axis=1, keepdims=True)) + 0.1 * X[:, :1]

PENALTY = 0.03  # without it rounding errors grow tenfold in a few iterations, as those of any two programs


class Rosenbrock(nnx.Module):
    """Two parameters, of which the value is 0 at (1, 1)."""

    def __init__(self, xp, dtype="float64"):
        self.x = nnx.Parameter(xp.asarray(-1.2, dtype))
        self.y = nnx.Parameter(xp.asarray(1.0, dtype))

    def forward(self):
        """Return the value."""
        return (1.0 - self.x) ** 2 + 100.0 * (self.y - self.x**2) ** 2


class Host:
    """NumPy in the place of the fixture ``xp``."""

    spec, name = "numpy", "numpy"

    def asarray(self, data, dtype="float32"):
        return np.array(data, dtype)


HOST = Host()
further = pytest.mark.further  # not on JAX, which compiles each operation


def banana(xp, dtype="float64"):
    model = Rosenbrock(xp, dtype)
    return model, lambda: nnx.value_and_grad(lambda model: model())(model)


def network(xp, dtype="float64"):
    with nnx.use_backend(xp.spec):
        layers = [nnx.Linear(3, 5, rng=0, dtype=dtype), nnx.Tanh(), nnx.Linear(5, 1, rng=1, dtype=dtype)]
    model, x, y = nnx.Model(layers), xp.asarray(X, dtype), xp.asarray(Y, dtype)

    def loss(model):
        penalty = sum(nnx.namespace(w).sum(w**2) for w in model.parameters().values())
        return nnx.functional.mse(model(x), y) + PENALTY * penalty

    return model, lambda: nnx.value_and_grad(loss)(model)


PROBLEMS = {"rosenbrock": banana, "network": network}


def torch_banana(torch, weights):
    return (1.0 - weights["x"]) ** 2 + 100.0 * (weights["y"] - weights["x"] ** 2) ** 2


def torch_network(torch, weights):
    hidden = torch.tanh(torch.tensor(X) @ weights["0.weight"] + weights["0.bias"])
    error = torch.nn.functional.mse_loss(hidden @ weights["2.weight"] + weights["2.bias"], torch.tensor(Y))
    return error + PENALTY * sum((w**2).sum() for w in weights.values())


CASES = [
    ("rosenbrock", {}, 12),
    ("rosenbrock", {"max_iterations": 1}, 60),
    ("rosenbrock", {"history_size": 2, "max_iterations": 5, "max_evaluations": 7}, 20),
    ("rosenbrock", {"learning_rate": 3.0, "max_iterations": 4, "max_evaluations": 40}, 12),
    ("rosenbrock", {"learning_rate": 0.05, "line_search": None}, 12),
    ("network", {}, 5),
    ("network", {"max_iterations": 1, "history_size": 3}, 100),
    ("network", {"learning_rate": 10.0, "max_iterations": 3, "max_evaluations": 100}, 12),
    ("network", {"learning_rate": 0.3, "line_search": None, "max_iterations": 7}, 11),
    ("network", {"learning_rate": 0.3, "line_search": None, "max_iterations": 1, "history_size": 4}, 100),
]


def on_host(model):
    return {path: np.array(nnx.to_numpy(w)) for path, w in model.parameters().items()}


MARKED = [
    pytest.param(case, id=f"{case[0]}-{case[1]}", marks=() if case[1].get("max_iterations") == 1 else further)
    for case in CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_the_points_are_those_of_pytorch(case, xp, request):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    problem, options, steps = case
    model, evaluate = PROBLEMS[problem](xp)
    weights = {path: torch.tensor(w, requires_grad=True) for path, w in on_host(model).items()}
    objective = {"rosenbrock": torch_banana, "network": torch_network}[problem]
    ours = nnx.LBFGS(model, **options)
    theirs = torch.optim.LBFGS(
        list(weights.values()),
        lr=options.get("learning_rate", 1.0),
        max_iter=options.get("max_iterations", 20),
        max_eval=options.get("max_evaluations"),
        history_size=options.get("history_size", 10),
        line_search_fn=options.get("line_search", "strong_wolfe"),
    )
    count = [0, 0]

    def closure():
        theirs.zero_grad()
        value = objective(torch, weights)
        value.backward()
        count[0] += 1
        return value

    def function():
        count[1] += 1
        return evaluate()

    for _ in range(steps):
        expected = float(theirs.step(closure).detach())
        assert ours.step(function) == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert count[0] == count[1]
        for path, w in on_host(model).items():
            np.testing.assert_allclose(w, weights[path].detach().numpy(), rtol=1e-6, atol=1e-9)


def run(optimizer, evaluate, steps):
    for _ in range(steps):
        optimizer.step(evaluate)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("taken", [0, 4])
def test_a_saved_state_goes_on_with_the_same_bits(xp, problem, taken):
    (model, evaluate), (twin, again) = PROBLEMS[problem](xp), PROBLEMS[problem](xp)
    optimizer = nnx.LBFGS(model, max_iterations=3, history_size=4)
    run(optimizer, evaluate, taken)
    twin.load_state_dict(model.state_dict())
    restored = nnx.LBFGS(twin, max_iterations=3, history_size=4).load_state_dict(optimizer.state_dict())
    run(optimizer, evaluate, 3)
    run(restored, again, 3)
    assert_close(twin.parameters(), model.parameters(), rtol=0.0, atol=0.0)
    assert_close(restored.state_dict(), optimizer.state_dict(), rtol=0.0, atol=0.0)


def test_the_state_is_flat_and_later_steps_do_not_change_it():
    model, evaluate = network(HOST)
    optimizer = nnx.LBFGS(model, max_iterations=2, max_evaluations=100)
    names = [f"{name}.{path}" for name in ("gradient", "move", "steps", "changes") for path in model.parameters()]
    assert list(optimizer.state_dict()) == ["step", "iterations", "pairs", *names]
    run(optimizer, evaluate, 3)
    state, weights = optimizer.state_dict(), model.state_dict()
    assert (state["step"], state["iterations"], state["pairs"]) == (3, 6, 5)
    assert state["steps.0.weight"].shape == (5, 3, 5)
    before = copy.deepcopy((state, weights))
    run(optimizer, evaluate, 2)
    assert_close((state, weights), before, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=further), "bfloat16", "float32"])
def test_other_dtypes(xp, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    model, evaluate = network(xp, dtype)
    optimizer = nnx.LBFGS(model, tolerance_gradient=1e-3, max_iterations=8)
    first = optimizer.step(evaluate)
    assert type(first) is float
    assert optimizer.step(evaluate) < 0.6 * first
    assert {nnx.backend.dtype_name(w.dtype) for w in model.parameters().values()} == {dtype}
    assert nnx.backend.dtype_name(optimizer.state_dict()["move.0.weight"].dtype) == "float32"


def test_without_lines_to_search_and_with_a_schedule():
    (model, evaluate), (other, again) = banana(HOST), banana(HOST)
    options = {"line_search": None, "max_iterations": 2}
    optimizer, second = nnx.LBFGS(model, lambda step: [0.1, 0.3][step], **options), nnx.LBFGS(other, 0.1, **options)
    run(optimizer, evaluate, 2)
    second.step(again)
    second.learning_rate = 0.3
    second.step(again)
    assert_close(model.parameters(), other.parameters(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
def test_a_learning_rate_of_zero_moves_nothing(line_search):
    """As at the first step of a warm-up."""
    model, evaluate = banana(HOST)
    before, optimizer = on_host(model), nnx.LBFGS(model, lambda step: float(step), line_search=line_search)
    assert optimizer.step(evaluate) == pytest.approx(24.2)
    assert on_host(model) == before
    optimizer.step(evaluate)
    assert on_host(model) != before


def test_frozen_parameters_stay_and_empty_ones_do_no_harm():
    model, evaluate = network(HOST)
    model.extra = nnx.Parameter(np.zeros((0, 2)))
    nnx.freeze(model, "2")
    before = on_host(model)
    optimizer = nnx.LBFGS(model)
    run(optimizer, evaluate, 2)
    assert {path for path, w in on_host(model).items() if not np.array_equal(w, before[path])} == {"0.weight", "0.bias"}
    assert not [name for name in optimizer.state_dict() if "2." in name]
    assert "move.extra" in optimizer.state_dict()


def test_new_parameters_are_arrays_of_their_own():
    """Other optimizers may write into them; the state of this one stays what it is."""
    model, evaluate = network(HOST)
    optimizer = nnx.LBFGS(model)
    optimizer.step(evaluate)
    assert all(w.flags.owndata and w.flags.c_contiguous for w in model.parameters().values())
    before = copy.deepcopy(optimizer.state_dict())
    nnx.SGD(model, 0.1).step(evaluate()[1])
    assert_close(optimizer.state_dict(), before, rtol=0.0, atol=0.0)


def test_leaves_of_torchs_autograd_stay_leaves():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model, evaluate = banana(HOST)
    model.to("torch")
    model.x = model.x.clone().requires_grad_()
    run(nnx.LBFGS(model), evaluate, 2)
    assert model.x.requires_grad
    assert model.x.is_leaf
    assert not model.y.requires_grad
    assert isinstance(model.x, torch.Tensor)


def test_it_moves_with_its_model(xp):
    model, evaluate = banana(HOST, "float32")
    optimizer = nnx.LBFGS(model, max_iterations=3)
    optimizer.step(evaluate)
    model.to(xp.spec, dtype="float64")
    with pytest.raises(UsageError, match=r"LBFGS keeps vectors on another device or in another dtype .*optimizer\.to"):
        optimizer.step(evaluate)
    assert optimizer.to(xp.spec, dtype="float64") is optimizer
    before = on_host(model)
    optimizer.step(evaluate)
    assert on_host(model) != before


def test_configuration_repr_copies_and_pickles():
    model, evaluate = network(HOST)
    optimizer = nnx.LBFGS(model, 0.5, history_size=3, max_iterations=2)
    assert repr(optimizer) == (
        "LBFGS(learning_rate=0.5, history_size=3, line_search='strong_wolfe', max_iterations=2, max_evaluations=None, "
        "tolerance_gradient=1e-07, tolerance_change=1e-09)"
    )
    again = nnx.from_config(json.loads(json.dumps(optimizer.config())), model=model)
    assert again.config() == optimizer.config()
    run(optimizer, evaluate, 2)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert_close(twin.state_dict(), optimizer.state_dict(), rtol=0.0, atol=0.0)


class TestNotFinite:
    def logarithm(self, start=1.0):
        """A function that is not finite from a step of -1 on, where its first step would lead."""
        model = nnx.Linear(1, 1, bias=False, dtype="float64", initializer=nnx.initializers.Constant(start))

        def value(model):
            xp = nnx.namespace(model.weight)
            return xp.sum(20.0 * model.weight - xp.log(model.weight))

        return model, lambda: nnx.value_and_grad(value)(model)

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")
    def test_a_line_search_takes_a_shorter_step(self):
        model, evaluate = self.logarithm()
        optimizer = nnx.LBFGS(model, learning_rate=30.0)
        run(optimizer, evaluate, 3)
        np.testing.assert_allclose(model.weight, 0.05, rtol=1e-6)

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")
    def test_without_one_nothing_is_changed(self):
        model, evaluate = self.logarithm()
        before = model.weight
        optimizer = nnx.LBFGS(model, learning_rate=30.0, line_search=None)
        with pytest.raises(NonFiniteError, match="expected a finite value and gradient, got the value nan"):
            optimizer.step(evaluate)
        assert model.weight is before
        assert optimizer.state_dict()["iterations"] == 0

    def test_the_gradient_that_is_not_finite_is_named(self):
        model, evaluate = network(HOST)
        _, gradients = evaluate()
        gradients["2.weight"] = gradients["2.weight"] * np.inf
        with pytest.raises(
            NonFiniteError, match=r"got the value 0.5 and gradients that are not finite for: '2\.weight'"
        ):
            nnx.LBFGS(model).step(lambda: (0.5, gradients))
        with pytest.raises(
            NonFiniteError, match=r"got the value nan and gradients that are not finite for: none; start"
        ):
            nnx.LBFGS(model).step(lambda: (np.float64("nan"), evaluate()[1]))


class TestErrors:
    def test_gradients_in_the_place_of_a_function(self):
        model, evaluate = network(HOST)
        text = "LBFGS evaluates the model several times in a step: expected step(function), such as "
        with pytest.raises(UsageError, match=re.escape(text) + r".*got dict"):
            nnx.LBFGS(model).step(evaluate()[1])

    def test_what_the_function_returns(self):
        model, evaluate = network(HOST)
        value, gradients = evaluate()
        part = {path: g for path, g in gradients.items() if path != "0.bias"}
        other = network(HOST)[1]
        for returned, error, message in (
            (value, ArgumentError, r"expected a function that returns the pair \(value, gradients\), .*, got "),
            (None, ArgumentError, r"expected a function that returns the pair .*, got NoneType"),
            (("1.0", gradients), ArgumentError, "expected a number as the value of the function, got str"),
            ((np.ones(2), gradients), ShapeError, r"expected one real number as the value .*, got shape \(2,\)"),
            ((value, gradients["0.bias"]), ArgumentError, "expected gradients as a dict from dotted path to array"),
            ((value, part), ArgumentError, r"expected a gradient for each parameter; missing \['0\.bias'\]"),
            ((value, gradients | {"0.bias": np.ones(2)}), ShapeError, r"the gradient of '0\.bias': expected shape"),
            (
                (value, gradients | {"0.bias": np.ones(5, "f4")}),
                DTypeError,
                r"the gradient of '0\.bias': expected dtype",
            ),
            (
                other(),
                UsageError,
                "gradients of another Sequential than the Sequential that this LBFGS was made",
            ),
        ):
            with pytest.raises(error, match=message):
                nnx.LBFGS(model).step(lambda returned=returned: returned)

    def test_a_function_that_raises_in_the_middle_changes_nothing(self):
        model, evaluate = network(HOST)
        optimizer = nnx.LBFGS(model)
        optimizer.step(evaluate)
        before, state = model.parameters(), optimizer.state_dict()
        calls = []

        def interrupted():
            calls.append(0)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return evaluate()

        with pytest.raises(KeyboardInterrupt):
            optimizer.step(interrupted)
        assert all(w is before[path] for path, w in model.parameters().items())
        assert_close(optimizer.state_dict(), state, rtol=0.0, atol=0.0)

    def test_hyperparameters(self):
        for options, message in (
            ({"history_size": 0}, "expected history_size to be an integer of at least 1, got 0"),
            ({"line_search": "armijo"}, "expected line_search to be 'strong_wolfe' or None, got 'armijo'"),
            ({"max_iterations": 1.5}, "expected max_iterations to be an integer of at least 1, got 1.5"),
            ({"max_evaluations": 0}, "expected max_evaluations to be an integer of at least 1, got 0"),
            ({"tolerance_gradient": -1}, "expected a finite tolerance_gradient >= 0, got -1"),
            ({"tolerance_change": np.nan}, "expected a finite tolerance_change >= 0, got nan"),
        ):
            with pytest.raises(ArgumentError, match=re.escape(message)):
                nnx.LBFGS(nnx.Linear(1, 1), **options)

    def test_a_state_that_does_not_fit(self):
        model, evaluate = network(HOST)
        optimizer = nnx.LBFGS(model, max_iterations=4)
        optimizer.step(evaluate)
        state = optimizer.state_dict()
        before = copy.deepcopy(state)
        for wrong, message in (
            ({"pairs": 2}, r"steps\.0\.weight: expected shape \(2, 3, 5\), got \(3, 3, 5\)"),
            ({"pairs": 11}, "pairs: expected 0 to 10, the history_size, got 11"),
            ({"pairs": -1}, "pairs: expected 0 to 10, the history_size, got -1"),
            ({"pairs": "3"}, "pairs: expected an integer, got '3'"),
            ({"step": -1}, "step: expected >= 0, got -1"),
            ({"iterations": -1}, "iterations: expected >= 0, got -1"),
            ({"move.0.bias": np.ones(5, "f4")}, r"move\.0\.bias: expected dtype float64, got float32"),
            ({"velocity.0.bias": np.ones(5)}, r"velocity\.0\.bias: not in its state"),
        ):
            with pytest.raises(CheckpointError, match="the saved values do not fit LBFGS: .*" + message):
                optimizer.load_state_dict(state | wrong)
        with pytest.raises(CheckpointError, match="pairs: missing"):
            optimizer.load_state_dict({name: x for name, x in state.items() if name != "pairs"})
        assert_close(optimizer.state_dict(), before, rtol=0.0, atol=0.0)

    def test_parameters_that_cannot_be_trained_or_have_changed(self):
        with pytest.raises(DTypeError, match=r"expected real parameters, got complex64; use nnx\.SGD"):
            nnx.LBFGS(nnx.Linear(1, 1, dtype="complex64")).step(dict)
        model, evaluate = network(HOST)
        optimizer = nnx.LBFGS(model)
        optimizer.step(evaluate)
        model.extra = nnx.Parameter(np.ones(2))
        with pytest.raises(UsageError, match=r"parameters have changed since .*new \['extra'\]; make a new optimizer"):
            optimizer.step(evaluate)
        del model.extra
        model[0].bias = nnx.Parameter(np.ones(1))
        with pytest.raises(UsageError, match=r"made for a '0\.bias' of shape \(5,\), and it has \(1,\) now"):
            optimizer.state_dict()
        nnx.freeze(model)
        with pytest.raises(UsageError, match="LBFGS needs a model with parameters that are trained and not empty, got"):
            nnx.LBFGS(model).step(evaluate)
