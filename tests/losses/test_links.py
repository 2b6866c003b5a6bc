"""A gradient that a loss made for one output is not carried back through another call."""

import gc
import threading
import weakref

import numpy as np
import pytest

import nnx
from nnx.backend.links import Links
from nnx.errors import UsageError
from nnx.layers.links import _ORIGINS, MADE_FOR, origin_of
from nnx.metrics import accuracy
from nnx.testing import assert_close

FOREIGN = r"the gradient was made for another array than the last output of this Sequential.*model\.eval\(\)"


@pytest.fixture
def model(xp):
    with nnx.use_backend(xp.spec):
        return nnx.Model([nnx.Linear(3, 3, rng=0), nnx.Sigmoid()])


@pytest.fixture
def batches(xp):
    draw = np.random.default_rng(0)
    return [xp.asarray(draw.standard_normal((4, 3))) for _ in range(3)]


def test_a_call_in_between_is_an_error(xp, model, batches):
    a, b, target = batches
    loss = nnx.MSE()
    loss(model(a), target)
    accuracy(model(b), xp.asarray([0, 1, 2, 0], "int64"))
    with pytest.raises(UsageError, match=FOREIGN):
        model.backward(loss.gradient())
    with pytest.raises(UsageError, match="has no gradients yet"):
        model.update(0.1)


def test_in_evaluation_mode_it_is_none(model, batches):
    a, b, target = batches
    loss = nnx.MSE()
    loss(model(a), target)
    model.backward(loss.gradient())
    expected = model.gradients()
    loss(model(a), target)
    gradient = loss.gradient()
    for module in (model, loss):
        module.training = False
    model(b)
    for module in (model, loss):
        module.training = True
    model.backward(gradient)
    assert_close(model.gradients(), expected, rtol=0.0)


def test_two_outputs_of_one_model_in_one_loss(model, batches):
    loss = nnx.MSE()
    loss(model(batches[0]), model(batches[1]))
    with pytest.raises(UsageError, match=FOREIGN):
        model.backward(loss.gradient())


def test_an_output_that_was_changed_before_the_loss(model, batches):
    loss = nnx.MSE()
    loss(2.0 * model(batches[0]), batches[1])
    with pytest.raises(UsageError, match="hand the loss the output itself"):
        model.backward(loss.gradient())


def test_a_gradient_made_in_evaluation_mode(model, batches):
    loss = nnx.MSE()
    loss(model.eval()(batches[0]), batches[1])
    model.train()(batches[0])
    with pytest.raises(UsageError, match=FOREIGN):
        model.backward(loss.gradient())


def test_what_went_through_arithmetic_is_not_checked(model, batches):
    loss = nnx.MSE()
    loss(model(batches[0]), batches[1])
    model(batches[2])
    model.backward(1.0 * loss.gradient())


def test_the_gradient_may_be_asked_for_late_and_twice(model, batches):
    a, b, target = batches
    loss, other = nnx.MSE(), nnx.MSE()
    output = model(a)
    loss(output, target)
    other(output, b)
    first = loss.gradient()
    for gradient in (other.gradient(), first, loss.gradient()):
        model.forward(b)  # not a call
        model(a)
        with pytest.raises(UsageError, match=FOREIGN):
            model.backward(gradient)


def test_a_model_that_returns_what_it_was_given(model, batches):
    identity, loss = nnx.Model([]), nnx.MSE()
    loss(identity(model(batches[0])), batches[1])
    gradient = identity.backward(loss.gradient())
    model.backward(loss.gradient() if gradient is None else gradient)


class Pair(nnx.Module):
    def __init__(self, rng):
        self.mean, self.variance = nnx.Linear(3, 2, rng=rng), nnx.Model([nnx.Linear(3, 2, rng=rng), nnx.Sigmoid()])

    def forward(self, x):
        return self.mean(x), self.variance(x)


class Named(Pair):
    def forward(self, x):
        return {"mean": self.mean(x), "variance": self.variance(x)}


def test_a_loss_of_two_predictions(xp, batches):
    with nnx.use_backend(xp.spec):
        model = Pair(0)
    loss = nnx.KLDivergenceStandardNormal()
    loss(*model(batches[0]))
    model.backward(loss.gradient())
    loss(*model(batches[0]))
    gradient = loss.gradient()
    with pytest.raises(UsageError, match="the gradient at '0' was made for another array than the last output of this"):
        model.backward((gradient[1], gradient[0]))
    model(batches[0])
    with pytest.raises(UsageError, match="the gradient at '0' was made for another array"):
        model.backward(gradient)


def test_a_model_that_returns_a_dict(xp, batches):
    with nnx.use_backend(xp.spec):
        model = Named(0)
    kl, mse = nnx.KLDivergenceStandardNormal(), nnx.MSE()
    output = model(batches[0])
    kl(output["mean"], output["variance"])
    mean, variance = kl.gradient()
    model.backward({"variance": variance, "mean": mean})
    mse(output["mean"], 0.0 * output["mean"])
    model(batches[0])
    with pytest.raises(UsageError, match="the gradient at 'mean' was made for another array"):
        model.backward({"mean": mse.gradient(), "variance": 0.0 * variance})


def test_two_threads_with_one_model(model, batches):
    losses = [nnx.MSE(), nnx.MSE()]
    called, found = threading.Barrier(2), []

    def run(i):
        losses[i](model(batches[i]), batches[2])
        called.wait()
        try:
            model.backward(losses[i].gradient())
        except UsageError as error:
            found.append(str(error))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 1
    assert "was made for another array" in found[0]


def test_no_array_is_kept_alive(xp, model, batches):
    gc.collect()
    loss = nnx.MSE()
    before = len(_ORIGINS), len(MADE_FOR)
    output = model(batches[0])
    loss(output, batches[1])
    gradient = loss.gradient()
    model.backward(gradient)
    assert (len(_ORIGINS), len(MADE_FOR)) == (before[0] + 1, before[1] + 1)
    references = [weakref.ref(output), weakref.ref(gradient)]
    del output, gradient
    loss(model(batches[0]), batches[1])  # so that the last pullbacks, which may hold them, are gone
    gc.collect()
    assert all(reference() is None for reference in references)
    loss.eval(), model.eval()
    gc.collect()
    assert (len(_ORIGINS), len(MADE_FOR)) == before


def test_numbers_that_take_no_weak_reference():
    class Mean(nnx.Module):
        def forward(self, x):
            return nnx.namespace(x).mean(x)

    model, loss = Mean(), nnx.MSE()
    for _ in range(2):
        loss(model(np.ones(2)), np.asarray(2.0))
    assert_close(model.backward(loss.gradient()), np.asarray([-1.0, -1.0]))


def test_links_are_by_identity():
    links = Links()
    x, y = np.ones(2), np.ones(2)
    links.put(x, "x")
    assert (links.get(x), links.get(y)) == ("x", None)
    assert (links.setdefault(x, "new"), links.setdefault(y, "y")) == ("x", "y")
    links.put(x, "again")
    assert (links.get(x), len(links)) == ("again", 2)
    assert links.setdefault(np.float64(1.0), "number") is None
    links.put(np.float64(1.0), "number")
    del x, y
    assert len(links) == 0


def test_a_link_of_another_array_with_the_same_id_is_not_taken():
    links, x, y = Links(), np.ones(2), np.ones(2)
    links.put(y, "y")
    links._entries[id(x)] = links._entries[id(y)]  # as where ids are given again before the callback runs
    assert links.get(x) is None
    assert links.setdefault(x, "x") == "x"


def test_outputs_in_evaluation_mode_are_not_recorded(model, batches):
    assert origin_of(model(batches[0])).is_recorded
    assert not origin_of(model.eval()(batches[0])).is_recorded
    assert not origin_of(batches[0]).is_recorded


def test_a_chain_of_models(xp):
    with nnx.use_backend(xp.spec):
        first, second = nnx.Linear(3, 4, rng=0), nnx.Linear(4, 2, rng=1)
    x, target = xp.asarray(np.ones((5, 3))), xp.asarray(np.zeros((5, 2)))
    loss = nnx.MSE()
    loss(second(first(x)), target)
    first.backward(second.backward(loss.gradient()))  # as it should be
    loss(second(first(x)), target)
    first(x + 1.0)
    with pytest.raises(UsageError, match="was made for another array than the last output of this Linear"):
        first.backward(second.backward(loss.gradient()))
