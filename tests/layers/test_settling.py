"""Sizes that were left open are settled by the first input, once, on the user's own model."""

import copy
import pickle

import numpy as np
import pytest

import nnx
from nnx import Linear, Model, Module, ReLU
from nnx.errors import DTypeError, ShapeError, UsageError
from nnx.testing import assert_close


def total(x):
    return nnx.namespace(x).sum(x)


def lazy():
    return Model([Linear(None, 4, rng=0), ReLU(), Model([Linear(None, 2, bias=False, rng=1)])])


def eager():
    return Model([Linear(3, 4, rng=0), ReLU(), Model([Linear(4, 2, bias=False, rng=1)])])


def test_a_layer_that_is_recomputed():
    layer = nnx.remat(Linear(None, 2, rng=0))
    x = np.ones((5, 3), "float32")
    assert_close(layer(x), Linear(3, 2, rng=0)(x))
    assert list(nnx.grad(lambda layer: total(layer(x)))(layer)) == ["inner.weight", "inner.bias"]


CALLS = {
    "training": lambda m, x: m(x),
    "evaluation": lambda m, x: m.eval()(x),
    "settle": lambda m, x: m.settle(x),
    "traced input": lambda m, x: nnx.grad(lambda x: total(m(x)))(x),
    "forward mode": lambda m, x: nnx.jvp(m, (x,), (x,)),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_first_call_gives_the_numbers_of_a_model_made_with_these_sizes(xp, call):
    model, x = lazy(), xp.asarray(np.ones((5, 3)))
    CALLS[call](model, x)
    expected = eager().to(xp.spec)
    assert_close(model.parameters(), expected.parameters(), rtol=0.0)
    assert_close(model.eval()(x), expected.eval()(x))
    assert repr(model) == repr(expected)
    assert repr(lazy()).count("in_features=None") == 2


def test_a_training_call_can_be_followed_by_backward():
    model, x = lazy(), np.ones((5, 3), np.float32)
    model(x)
    model.backward(np.ones((5, 2), np.float32))
    assert model.gradients().keys() == eager().parameters().keys()


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.parameters(),
        lambda m: m.state_dict(),
        lambda m: m.load_state_dict(eager().state_dict()),
        lambda m: m.to(dtype="float64"),
        lambda m: m.summary(),
        lambda m: nnx.grad(lambda m, x: total(m(x)))(m, np.ones((1, 3), np.float32)),
    ],
)
def test_before_that_the_parameters_are_not_there(use):
    expected = r"Sequential has sizes that are not settled yet, in '0', '2\.0': call it once on data, or settle\(x\)"
    with pytest.raises(UsageError, match=expected):
        use(lazy())


def test_looking_at_outputs_needs_settled_sizes():
    with pytest.raises(UsageError, match="the sizes of this Linear are not settled yet; call the model once on data"):
        nnx.layer_outputs(Linear(None, 1), np.ones((1, 3), np.float32))


def test_a_layer_that_joins_later_is_settled_by_the_next_call():
    model, x = lazy(), np.ones((5, 3), np.float32)
    model(x)
    model.layers.append(Linear(None, 1))
    model(x)
    assert model[3].in_features == 2


def test_buffers_count_one_call():
    class Noisy(Module):
        def __init__(self):
            self.mean, self.variance = Linear(None, 2, rng=0), nnx.Exponential()
            self.sample = nnx.Reparameterization(seed=0)

        def forward(self, x):
            mean = self.mean(x)
            return self.sample(mean, self.variance(mean))

    model = Noisy()
    model(np.ones((1, 3), np.float32))
    assert model.sample.calls.value == 1


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_before_that_settle_alike(twin):
    model, x = lazy(), np.ones((5, 3), np.float32)
    other = twin(model)
    assert_close(other.settle(x).parameters(), model.settle(x).parameters(), rtol=0.0)


def test_what_settles_nothing():
    for wrong, error in ((np.ones((1, 3), np.int64), DTypeError), (np.float32(1.0), ShapeError)):
        layer = Linear(None, 2)
        with pytest.raises(error, match=r"^Linear '1': expected input of"):
            Model([Model([]), layer]).eval()(wrong)
        assert not layer.is_settled


def test_in_a_module_that_is_computed_again():
    block = nnx.remat(lazy())
    block(np.ones((5, 3), np.float32))
    assert list(block.parameters()) == [f"inner.{path}" for path in eager().parameters()]


def test_a_layer_that_is_read_and_not_called():
    class Read(Module):
        def __init__(self):
            self.layer = Linear(None, 2)

        def forward(self, x):
            return nnx.functional.linear(x, self.layer.weight)

    with pytest.raises(DTypeError) as caught:
        Read()(np.ones((1, 3), np.float32))
    assert "while open sizes were settled: a layer with an open size takes it from a call" in caught.value.__notes__[0]


def test_settling_again_changes_nothing():
    model, x = eager(), np.ones((5, 3), np.float32)
    before = model.parameters()
    model.settle(x)
    assert all(model.parameters()[path] is w for path, w in before.items())


@pytest.mark.parametrize("call", [lambda m, x: m(x), lambda m, x: m.settle(x), lambda m, x: m.eval()(x)])
def test_an_error_while_sizes_are_settled_has_the_path(call):
    model = Model([Model([ReLU(), Linear(None, 4)]), Linear(3, 2)])
    with pytest.raises(DTypeError, match=r"^Linear '0\.1': expected input of a floating-point dtype, got int64"):
        call(Model([Model([nnx.Identity(), Linear(None, 4)])]), np.ones((5, 3), "int64"))
    with pytest.raises(ShapeError, match=r"^Linear '1': expected input of shape \(\.\.\., 3\), got \(5, 4\)"):
        call(model, np.ones((5, 3), "float32"))


def test_what_was_assigned_before_is_not_lost():
    owner, layer = Linear(3, 2, rng=0), Linear(None, 2)
    for value in (nnx.Tied(owner, "weight"), nnx.Parameter(np.ones((3, 2), "float32"))):
        layer.weight = value
        with pytest.raises(UsageError, match=r"expected the parameters \['weight'\] to be assigned or tied after"):
            layer(np.ones((5, 3), "float32"))
