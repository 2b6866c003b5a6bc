"""Clipping and noise in the trainer do what the functions do in a bare loop."""

import numpy as np
import pytest

import nnx
from nnx.callbacks import ClipGradients, GradientNoise
from nnx.data import DataLoader
from nnx.errors import ArgumentError
from nnx.testing import assert_close

CHANGES = {
    "norm": (ClipGradients(norm=0.1), lambda g, step: nnx.clip_by_global_norm(g, 0.1)),
    "value": (ClipGradients(value=0.01), lambda g, step: nnx.clip_by_value(g, 0.01)),
    "both": (
        ClipGradients(norm=0.02, value=0.01),
        lambda g, step: nnx.clip_by_global_norm(nnx.clip_by_value(g, 0.01), 0.02),
    ),
    "noise": (GradientNoise(0.1, seed=5), lambda g, step: nnx.add_noise(g, 0.1, seed=5, step=step)),
    "falling noise": (
        GradientNoise(nnx.schedules.Linear(0.3, 3)),
        lambda g, step: nnx.add_noise(g, max(0.3 * (1 - step / 3), 0.0), seed=0, step=step),
    ),
}


def data_of(xp):
    rng = np.random.default_rng(0)
    return DataLoader((xp.asarray(rng.normal(size=(10, 3))), xp.asarray(rng.normal(size=(10, 2)))), batch_size=4)


def model_of(xp):
    with nnx.use_backend(xp.spec):
        return nnx.Linear(3, 2, rng=0)


@pytest.mark.parametrize(("callback", "change"), CHANGES.values(), ids=CHANGES)
def test_as_in_a_bare_loop(xp, callback, change):
    model = model_of(xp)
    nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.5), callbacks=[callback]).fit(data_of(xp), epochs=2)
    twin, loader, step = model_of(xp), data_of(xp), 0
    optimizer = nnx.SGD(twin, 0.5)
    for _ in range(2):
        for x, y in loader:
            gradients = nnx.grad(lambda m, x=x, y=y: nnx.MSE()(m(x), y))(twin)
            optimizer.step(change(gradients, step))
            step += 1
    assert_close(nnx.to_numpy(model.parameters()), nnx.to_numpy(twin.parameters()), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClipGradients(), r"expected a limit, norm=1\.0 or value=1\.0, got none"),
        (lambda: ClipGradients(norm=0), "expected a finite norm > 0, got 0"),
        (lambda: ClipGradients(value="1"), "expected a finite value >= 0, got '1'"),
        (lambda: GradientNoise(-1.0), "expected a finite std >= 0, got -1.0"),
        (lambda: GradientNoise(1.0, seed=-1), "expected seed to be an integer of at least 0, got -1"),
    ],
)
def test_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
