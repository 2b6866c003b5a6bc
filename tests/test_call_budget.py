"""Python calls inside nnx in one step: unlike a time, their number does not depend on the machine."""

import os
import sys

import numpy as np
import pytest

import nnx

ROOT = os.path.dirname(nnx.__file__) + os.sep
X = np.random.default_rng(0).standard_normal((100, 784)).astype(np.float32)
TARGET = np.arange(100) % 10


def calls(step):
    """Return how many functions of nnx one more call of ``step`` enters."""
    for _ in range(3):  # the first ones fill caches
        step()
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(ROOT)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        step()
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture
def model():
    rng = nnx.generator(0)
    return nnx.Model([nnx.Linear(784, 50, rng=rng), nnx.ReLU(), nnx.Linear(50, 10, rng=rng)])


def test_inference(model):
    model.eval()
    assert calls(lambda: model(X)) <= 10


def test_a_functional_step(model):
    optimizer = nnx.SGD(model, learning_rate=0.1)

    def step():
        _, gradients = nnx.value_and_grad(lambda model: nnx.functional.cross_entropy(model(X), TARGET))(model)
        optimizer.step(gradients)

    assert calls(step) <= 70


def test_a_step_in_the_words_of_the_post(model):
    loss = nnx.CrossEntropy()

    def step():
        loss(model(X), TARGET)
        model.backward(loss.gradient())
        model.update(0.1)

    assert calls(step) <= 90


@pytest.mark.parametrize("before", ["nothing", "backward"])
def test_a_hundred_layers(before):
    rng = nnx.generator(0)
    model = nnx.Model([nnx.Linear(8, 8, rng=rng) for _ in range(100)])
    x = X[:4, :8]
    if before == "backward":
        model.backward(model(x))
    assert calls(lambda: nnx.value_and_grad(lambda model: nnx.functional.mse(model(x), x))(model)) <= 1100
