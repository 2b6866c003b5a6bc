"""Loss scaling: exact, and without reading anything from a device."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError, NonFiniteError
from nnx.testing import assert_close
from nnx.training import LossScale, Policy, step_if

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(8, 4)), RNG.integers(3, size=8)


def model_on(xp):
    with nnx.use_backend(xp.spec):
        return nnx.Model([nnx.Linear(4, 16, rng=0), nnx.GELU(), nnx.LayerNorm(16), nnx.Linear(16, 3, rng=1)])


def number(value):
    return float(nnx.to_numpy(value)) if nnx.backend.is_array(value) else float(value)


def test_a_scale_that_is_a_power_of_two_changes_no_bit(xp):
    model, scale = model_on(xp), LossScale()
    x, labels = xp.asarray(X), xp.asarray(LABELS, "int64")
    loss = lambda model: nnx.functional.cross_entropy(model(x), labels)  # noqa: E731
    expected = nnx.grad(loss)(model)
    scaled = nnx.grad(lambda model: scale.scale(loss(model)))(model)
    found, finite = scale.unscale(scaled)
    assert number(finite) == 1.0
    assert_close(found, dict(expected), rtol=0.0, atol=0.0)


def test_the_scale_follows_the_gradients(xp):
    scale = LossScale(8.0, interval=2)
    good, bad = ({"weight": xp.asarray([1.0, last])} for last in (2.0, np.nan))
    seen = []
    for gradients in (good, good, good, bad, good, bad):
        scale.update(scale.unscale(gradients)[1])
        seen.append((number(scale.value), number(scale.skipped)))
    assert seen == [(8.0, 0), (16.0, 0), (16.0, 0), (8.0, 1), (8.0, 1), (4.0, 2)]


def test_the_scale_stays_where_it_can_help(xp):
    scale = LossScale(2.0**32, interval=1)
    scale.update(scale.unscale({"weight": xp.asarray([1.0])})[1])
    assert number(scale.value) == 2.0**32
    bad = {"weight": xp.asarray([np.inf])}
    with np.errstate(all="ignore"):
        for _ in range(46):
            scale.update(scale.unscale(bad)[1])
    assert (number(scale.value), number(scale.skipped)) == (2.0**-14, 46)
    finite = scale.unscale(bad)[1]
    if nnx.backend.is_array(finite):
        scale.update(finite)  # not read
    else:
        with pytest.raises(
            NonFiniteError, match=r"a loss scale of 6.1\S+, the least, got NaN or infinity, as in the 46 st"
        ):
            scale.update(finite)


def test_a_step_is_skipped_where_a_gradient_is_not_finite(xp):
    model, scale = model_on(xp), LossScale(2.0)
    optimizer = nnx.Adam(model, learning_rate=0.1)
    before = [nnx.to_numpy(holder.state_dict()) for holder in (model, optimizer)]
    gradients = {path: 1.0 + 0.0 * w for path, w in model.parameters().items()}
    bad = gradients | {"0.bias": gradients["0.bias"] * np.inf}
    unscaled, finite = scale.unscale(bad)
    with np.errstate(invalid="ignore"):  # on a device the step is taken, and set back
        step_if(finite, optimizer, unscaled)
    after = [nnx.to_numpy(holder.state_dict()) for holder in (model, optimizer)]
    after[1]["step"] = 0  # on a device it counts on
    assert_close(after, before, rtol=0.0)
    unscaled, finite = scale.unscale(gradients)
    step_if(finite, optimizer, unscaled)
    assert np.all(nnx.to_numpy(model[0].bias) != before[0]["0.bias"])


@pytest.mark.parametrize("make", [lambda model: nnx.EMA(model, 0.9), lambda model: nnx.SWA(model, every=2)])
def test_a_step_that_is_skipped_does_not_change_an_average(xp, make):
    model, scale = model_on(xp), LossScale(2.0)
    optimizer, average = nnx.SGD(model, learning_rate=0.1), make(model)
    good = {path: 1.0 + 0.0 * w for path, w in model.parameters().items()}
    for _ in range(2):
        step_if(scale.unscale(good)[1], optimizer, good, average)
    before = nnx.to_numpy(average.state_dict())
    assert before["averaged"] > 0
    bad = good | {"0.bias": good["0.bias"] * np.nan}
    with np.errstate(invalid="ignore"):
        step_if(scale.unscale(bad)[1], optimizer, bad, average)
    after = nnx.to_numpy(average.state_dict())
    for path, value in before.items():
        if path.startswith("average."):
            assert_close(after[path], value, rtol=0.0, atol=0.0)
    step_if(scale.unscale(good)[1], optimizer, good, average)
    assert average.updates == 3 + nnx.backend.is_array(scale.unscale(good)[1])  # on a device the counts go on
    assert all(np.all(np.isfinite(value)) for value in nnx.to_numpy(average.state_dict()).values())


def test_a_state_continues(xp):
    scale, other = LossScale(8.0, interval=2), LossScale(interval=2)
    good, bad = ({"weight": xp.asarray([value])} for value in (1.0, np.inf))
    for gradients in (bad, good):
        scale.update(scale.unscale(gradients)[1])
    other.load_state_dict(nnx.to_numpy(scale.state_dict()))
    assert other.state_dict() == {"scale": 4.0, "good": 1, "skipped": 1}
    for one in (other, scale.to("numpy")):
        one.update(one.unscale(good)[1])
        assert number(one.value) == 8.0


def test_gradients_keep_their_dtypes_and_are_not_written(xp):
    scale = LossScale(4.0)
    scale.update(scale.unscale({"w": xp.asarray([1.0])})[1])
    g = {"a": xp.asarray([4.0]), "b": xp.asarray([8.0], "float64")}
    found, _ = scale.unscale(g)
    assert_close(found, {"a": xp.asarray([1.0]), "b": xp.asarray([2.0], "float64")})
    assert_close(g["a"], xp.asarray([4.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 0.0}, r"expected initial between 2\*\*-14 and 2\*\*32, got 0.0"),
        ({"initial": np.nan}, "expected a finite initial, got nan"),
        ({"growth": 1.0}, "expected growth > 1, got 1.0"),
        ({"backoff": 1.0}, "expected backoff between 0 and 1, got 1.0"),
        ({"interval": 0}, "expected interval to be an integer of at least 1, got 0"),
    ],
)
def test_errors_of_the_constructor(options, message):
    with pytest.raises(ArgumentError, match=message):
        LossScale(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": np.inf}, "expected the state of a LossScale, numbers named scale, good and skipped, got"),
        ({"good": "1"}, "expected the state of a LossScale, numbers named scale, good and skipped, got"),
        ({"scale": -1.0}, r"expected a scale between 2\*\*-14 and 2\*\*32, and counts >= 0, got"),
        ({"skipped": -1}, r"expected a scale between 2\*\*-14 and 2\*\*32, and counts >= 0, got"),
        ({"more": 1}, r"expected a scale between 2\*\*-14 and 2\*\*32, and counts >= 0, got"),
    ],
)
def test_errors_of_a_state(change, message):
    scale = LossScale()
    with pytest.raises(CheckpointError, match=message):
        scale.load_state_dict(scale.state_dict() | change)
    assert scale.state_dict() == {"scale": 65536.0, "good": 0, "skipped": 0}


def test_repr():
    assert repr(LossScale()) == "LossScale(65536.0, growth=2.0, backoff=0.5, interval=2000)"


def test_gradients_that_float16_rounds_to_zero_are_there_with_a_scale():
    model, x, scale = nnx.Linear(4, 3, rng=0), X.astype(np.float32), LossScale()

    def objective(model, batch):
        value = 1e-9 * nnx.functional.cross_entropy(model(x), LABELS)
        return value, None

    narrow = Policy("float16").objective(objective)
    expected = nnx.grad(lambda model: objective(model, None)[0])(model)
    lost = nnx.grad(lambda model: narrow(model, None)[0])(model)
    found, _ = scale.unscale(nnx.grad(lambda model: scale.scale(narrow(model, None)[0]))(model))
    assert np.all(lost["weight"] == 0.0)
    assert_close(found, dict(expected), rtol=0.02, atol=1e-12)
