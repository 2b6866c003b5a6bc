"""Every loss tells what it was divided by, so that batches of any size add up to the large one."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import LOSSES
from rows.draws import CLASSES, labels, normal, probabilities, uniform
from rows.record import loss as row_of

import nnx
from nnx.errors import ShapeError
from nnx.testing import assert_close
from nnx.training import Accumulation, supervised

WEIGHT = np.asarray([0.25, 1.0, 3.0])
LOGITS, SEQUENCES = normal((4, CLASSES)), normal((4, 5, CLASSES))


def _row(id, loss, inputs, constants):
    return row_of(id, loss, inputs, lambda torch: None, constants)


ROWS = [row for row in LOSSES if type(row.call) is not nnx.InfoNCE]  # which is about the whole batch
FURTHER = [
    _row("cross-entropy-ignored", nnx.CrossEntropy(label_smoothing=0.1), LOGITS, labels(4, ignored=-100)),
    _row("cross-entropy-sequences", nnx.CrossEntropy(axis=-1, ignore_index=7), SEQUENCES, labels(4, 5, ignored=7)),
    _row("cross-entropy-probabilities", nnx.CrossEntropy(axis=-1), SEQUENCES, probabilities(4, 5)),
    _row("bce-weight", nnx.BCEWithLogits(WEIGHT, pos_weight=WEIGHT), normal((4, CLASSES)), uniform((4, CLASSES))),
    _row("kl-sequences-mean", nnx.KLDivergence(reduction="mean"), SEQUENCES, probabilities(4, 5)),
    _row("kl-sequences-batchmean", nnx.KLDivergence(), SEQUENCES, probabilities(4, 5)),
    _row("dice-rows", nnx.Dice(axis=-1), uniform((4, 3)), uniform((4, 3))),
    _row(
        "ctc-lengths",
        nnx.CTC(),
        normal((4, 6, CLASSES)),
        lambda rng: (rng.integers(1, CLASSES, (4, 2)), np.asarray([6, 5, 4, 6]), np.asarray([2, 1, 0, 2])),
    ),
]
CLASSIFIERS = {
    "cross-entropy": lambda weight, **options: nnx.CrossEntropy(weight, label_smoothing=0.1, **options),
    "nll": nnx.NLL,
    "focal": nnx.Focal,
}


def each_row(test):
    on_jax = (nnx.MSE, nnx.CrossEntropy)
    marked = [
        pytest.param(row, id=row.id, marks=() if type(row.call) in on_jax and row in ROWS else pytest.mark.further)
        for row in ROWS + FURTHER
    ]
    return pytest.mark.parametrize("row", marked)(pytest.mark.parametrize("reduction", ["mean", "sum"])(test))


def reduced(row, reduction, xp):
    """Return the loss of a row, with its arrays on a library, as a mean, which may have a name of its own, or a sum."""
    loss = copy.copy(row.call).eval().to(xp.spec)
    if reduction == "sum":
        loss.reduction = reduction
    return loss


class Rows:
    """Makes arrays of some of the rows of a batch."""

    def __init__(self, xp, rows):
        self.xp, self.rows = xp, rows

    def asarray(self, data, dtype):
        return self.xp.asarray(data[self.rows], dtype)


def arguments(row, xp, rows=slice(None)):
    inputs, constants = row.arrays(Rows(xp, rows), "float64")
    return row.in_order(*inputs, *constants)


def by_hand(values, divisors):
    """Return the value of all batches from those of each: what the documentation says."""
    if divisors[0] is None:
        return sum(values)
    return sum(value * float(nnx.to_numpy(d)) for value, d in zip(values, divisors, strict=True)) / sum(
        float(nnx.to_numpy(d)) for d in divisors
    )


@each_row
def test_batches_of_different_size_add_up_to_the_large_one(xp, row, reduction):
    loss = reduced(row, reduction, xp)
    accumulation, parts, values, divisors = Accumulation(every=2), (slice(0, 1), slice(1, 4)), [], []

    def differentiate(args):
        places = loss.predictions
        predictions = [args[i] for i in places]

        def scaled(scale):
            found = list(args)
            for place, prediction in zip(places, predictions, strict=True):
                found[place] = scale * prediction
            return loss(*found)

        return nnx.value_and_grad(scaled)(xp.asarray(0.9 * np.ones(1), "float64"))

    for part in parts:
        args = arguments(row, xp, part)
        value, gradient = differentiate(args)
        values.append(value)
        divisors.append(loss.divisor(*args))
        mean = accumulation.add({"scale": gradient}, divisors[-1])
    whole = arguments(row, xp)
    value, gradient = differentiate(whole)
    assert_close(by_hand(values, divisors), value, rtol=1e-12)
    assert_close(mean, {"scale": gradient}, rtol=1e-10, atol=1e-14)
    terms, divisor = loss.terms(*whole), loss.divisor(*whole)
    assert (divisor is None) == (loss.reduction == "sum")
    total = loss.forward(*whole) * (1.0 if divisor is None else float(nnx.to_numpy(divisor)))
    assert_close(nnx.backend.namespace(terms).sum(terms), total, rtol=1e-12)


@each_row
def test_weights_of_one_change_nothing_and_weights_are_repetitions(xp, row, reduction):
    loss = reduced(row, reduction, xp)
    if len(arguments(row, xp)) != 2:
        return
    objective, (input, target) = supervised(loss), arguments(row, xp)
    batch, n = {"input": input, "target": target}, input.shape[0]
    plain, _ = objective(lambda input: input, batch)
    weighted = batch | {"sample_weight": xp.asarray(np.ones(n), "float64")}
    found, outputs = objective(lambda input: input, weighted)
    assert_close(found, plain, rtol=1e-12)
    assert_same_divisor(objective.divisor(weighted, outputs), objective.divisor(batch, input))
    thrice = batch | {"sample_weight": xp.asarray([1.0, 3.0, 0.0, 2.0][:n], "float64")}
    rows = np.asarray([0, 1, 1, 1, 3, 3][: 4 if n < 4 else 6])
    repeated = dict(zip(("input", "target"), arguments(row, xp, rows), strict=True))
    expected, _ = objective(lambda input: input, repeated)
    assert_close(objective(lambda input: input, thrice)[0], expected, rtol=1e-12)
    assert_same_divisor(objective.divisor(thrice, outputs), objective.divisor(repeated, repeated["input"]))


def assert_same_divisor(found, expected):
    if expected is None:
        assert found is None
    else:
        assert float(nnx.to_numpy(found)) == pytest.approx(float(nnx.to_numpy(expected)), rel=1e-12)


@given(data=st.data(), name=st.sampled_from(sorted(CLASSIFIERS)), reduction=st.sampled_from(["mean", "sum"]))
def test_classifiers_with_ignored_targets_weights_of_classes_and_of_samples(data, name, reduction):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    length = data.draw(st.integers(1, 3))
    n, rng = sum(sizes), np.random.default_rng(data.draw(st.integers(0, 99)))
    weight = WEIGHT if data.draw(st.booleans()) else None
    loss = CLASSIFIERS[name](weight, axis=-1, reduction=reduction, ignore_index=-1)
    logits = np.log(rng.dirichlet(np.ones(3), (n, length)))
    target = rng.integers(-1, 3, (n, length))
    ends = np.cumsum([0, *sizes])
    if data.draw(st.booleans()):
        target[: ends[1]] = -1  # a batch in which nothing counts
    batch = {"input": logits, "target": target}
    if data.draw(st.booleans()):
        batch["sample_weight"] = rng.integers(0, 3, (n, length) if data.draw(st.booleans()) else n).astype(float)
    objective, accumulation = supervised(loss), Accumulation(every=len(sizes))
    differentiate = nnx.value_and_grad(lambda scale, batch: objective(lambda input: scale * input, batch)[0])
    scale, values, divisors = np.asarray(0.9), [], []
    for start, end in pairwise(ends):
        part = {key: array[start:end] for key, array in batch.items()}
        value, gradient = differentiate(scale, part)
        values.append(value)
        divisors.append(objective.divisor(part, part["input"]))
        mean = accumulation.add({"scale": gradient}, divisors[-1])
    value, gradient = differentiate(scale, batch)
    assert np.isfinite(value)
    np.testing.assert_allclose(mean["scale"], gradient, rtol=1e-9, atol=1e-13)
    if divisors[0] is None or sum(map(float, divisors)):
        np.testing.assert_allclose(by_hand(values, divisors), value, rtol=1e-10, atol=1e-14)
    else:
        assert value == 0.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_is_counted_in_half_precision_is_exact(xp, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    logits, target = xp.asarray(np.zeros((4097, 2)), dtype), xp.asarray(np.zeros(4097), "int64")
    loss = nnx.CrossEntropy(xp.asarray([0.5, 1.0], dtype))
    assert float(nnx.to_numpy(nnx.CrossEntropy().divisor(logits, target))) == 4097
    assert float(nnx.to_numpy(loss.divisor(logits, target))) == 2048.5


def test_a_loss_of_ones_own_counts_samples_until_it_says_more():
    class Mine(nnx.Loss):
        def forward(self, outputs, target):
            return nnx.functional.mse(outputs[0] + outputs[1], target, reduction=self.reduction)

    x = np.ones((3, 2))
    assert Mine().divisor((x, x), x) == 3
    assert Mine().divisor(0.5, np.float64(1.0)) == 1
    weight = np.asarray([1.0, 0.0, 2.0])
    assert Mine().divisor((x, x), x, sample_weight=weight) == 3.0
    batch = {"input": x, "target": np.arange(6.0).reshape(3, 2), "sample_weight": weight}
    value, _ = supervised(Mine())(lambda input: (input, input), batch)
    assert float(value) == ((4 + 1) + 2 * (4 + 9)) / 6
    assert Mine("none").divisor((x, x), x) is None


def test_weights_that_do_not_fit_the_terms():
    x, target = np.zeros((2, 3, 2)), np.zeros((2, 3), np.int64)
    for shape in ((3,), (2, 1), ()):
        with pytest.raises(ShapeError, match=r"expected 'sample_weight' of shape \(2, 3\), one for each loss, got"):
            nnx.CrossEntropy(axis=-1).divisor(x, target, sample_weight=np.ones(shape))
        with pytest.raises(ShapeError, match=r"expected 'sample_weight' of shape \(2, 3\), one for each loss, got"):
            nnx.MSE().divisor(x[..., 0], x[..., 0], sample_weight=np.ones(shape))


def test_half_precision_weights_of_samples_are_added_in_float32():
    weight = np.ones(4097, np.float16)
    assert float(nnx.MSE().divisor(np.zeros(4097), np.zeros(4097), sample_weight=weight)) == 4097
    assert math.isclose(float(nnx.MSE().divisor(np.zeros(3), np.zeros(3), sample_weight=np.asarray([1, 2, 3]))), 6)
