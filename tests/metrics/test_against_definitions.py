"""Metrics against their definitions, written as loops; and what holds for each of them over batches."""

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx.errors import ArgumentError, CheckpointError, DTypeError, ShapeError, UsageError
from nnx.metrics import AUC, F1, R2, MeanAbsoluteError, MeanSquaredError, Perplexity, Precision, Recall

CLASSES = 4


def counts(output, target):
    predicted = [max(range(CLASSES), key=lambda k: (row[k], -k)) for row in output]  # at a tie the lowest class
    pairs = list(zip(predicted, target, strict=True))
    return [
        (sum(p == t == k for p, t in pairs), sum(p == k for p, _ in pairs), sum(t == k for _, t in pairs))
        for k in range(CLASSES)
    ]


def precision(output, target):
    return [hits / predicted if predicted else 0.0 for hits, predicted, _ in counts(output, target)]


def recall(output, target):
    return [hits / true if true else 0.0 for hits, _, true in counts(output, target)]


def f1(output, target):
    pairs = zip(precision(output, target), recall(output, target), strict=True)
    return [2 * p * r / (p + r) if p + r else 0.0 for p, r in pairs]


def accuracy(output, target):
    return sum(hits for hits, _, _ in counts(output, target)) / len(target)


def mean(function):
    return lambda output, target: sum(function(output, target)) / CLASSES


def auc(scores, target):
    pairs = [(x, y) for x, t in zip(scores, target, strict=True) for y, s in zip(scores, target, strict=True) if t > s]
    return sum((x > y) + 0.5 * (x == y) for x, y in pairs) / len(pairs) if pairs else math.nan


def r2(output, target):
    columns = zip(output.T, target.T, strict=True)
    return np.mean([1 - sum((x - t) ** 2) / sum((t - sum(t) / len(t)) ** 2) for x, t in columns])


def perplexity(output, target):
    chosen = [(row, t) for row, t in zip(output, target, strict=True) if t != -100]
    losses = [math.log(sum(math.exp(v) for v in row)) - row[t] for row, t in chosen]
    return math.exp(sum(losses) / len(losses)) if losses else math.nan


def classification(rng, n):
    return np.round(rng.normal(size=(n, CLASSES)), 1), rng.integers(CLASSES - 1, size=n)  # with ties; one is absent


def scores(rng, n):
    return np.round(rng.normal(size=n), 1), rng.integers(2, size=n)


def numbers(rng, n):
    return 1e3 + rng.normal(size=(n, 2)), 1e3 + rng.normal(size=(n, 2))


def tokens(rng, n):
    target = rng.integers(CLASSES, size=n)
    return rng.normal(size=(n, CLASSES)), np.where(rng.random(n) < 0.3, -100, target)


METRICS = {
    "precision": (Precision, classification, mean(precision)),
    "precision of each": (lambda: Precision("none"), classification, precision),
    "precision, micro": (lambda: Precision("micro"), classification, accuracy),
    "recall": (Recall, classification, mean(recall)),
    "recall of each": (lambda: Recall("none"), classification, recall),
    "recall, micro": (lambda: Recall("micro"), classification, accuracy),
    "F1": (F1, classification, mean(f1)),
    "F1 of each": (lambda: F1("none"), classification, f1),
    "F1, micro": (lambda: F1("micro"), classification, accuracy),
    "AUC": (AUC, scores, auc),
    "mean squared error": (MeanSquaredError, numbers, lambda x, t: np.mean((x - t) ** 2)),
    "mean absolute error": (MeanAbsoluteError, numbers, lambda x, t: np.mean(np.abs(x - t))),
    "R2": (R2, numbers, r2),
    "perplexity": (Perplexity, tokens, perplexity),
}
each = pytest.mark.parametrize("name", METRICS)


def batches(xp, name, sizes=(5, 1, 14)):
    rng = np.random.default_rng(len(name))
    found = []
    for n in sizes:
        output, target = METRICS[name][1](rng, n)
        found.append(
            (xp.asarray(output, "float64"), xp.asarray(target, "float64" if target.dtype == float else "int64"))
        )
    return found


def expected(name, parts):
    return METRICS[name][2](*(np.concatenate([nnx.to_numpy(part[i]) for part in parts]) for i in (0, 1)))


def updated(metric, parts):
    for part in parts:
        metric.update(*part)
    return metric


def value(metric):
    return nnx.to_numpy(metric.compute())


@each
def test_all_batches_as_defined(xp, name):
    parts = batches(xp, name)
    metric = updated(METRICS[name][0](), parts)
    np.testing.assert_allclose(value(metric), expected(name, parts), rtol=1e-12)
    assert nnx.backend.device_of(metric.compute()) == xp.device
    metric.reset()
    with pytest.raises(UsageError, match="needs a batch before it"):
        metric.compute()


@each
def test_merged_and_restored_as_all_batches(xp, name):
    parts = batches(xp, name)
    make = METRICS[name][0]
    first, second, whole = updated(make(), parts[:1]), updated(make(), parts[1:]), updated(make(), parts)
    np.testing.assert_allclose(value(first + second), value(whole), rtol=1e-12)
    np.testing.assert_allclose(value(make().merge(first, make(), second)), value(whole), rtol=1e-12)
    state = nnx.to_numpy(first.state_dict())
    again = make()
    again.load_state_dict(state)
    updated(again, parts[1:])
    np.testing.assert_allclose(value(again), value(whole), rtol=1e-12)
    built = nnx.from_config(json.loads(json.dumps(whole.config())))
    assert repr(built) == repr(whole)
    with pytest.raises(CheckpointError, match="expected the sums of"):
        again.load_state_dict({"nonsense": 1})


@each
def test_later_writes_into_a_batch_change_nothing(name):
    (output, target), *_ = parts = [tuple(map(np.array, part)) for part in batches(_Numpy, name)]
    metric = updated(METRICS[name][0](), parts)
    before = copy.deepcopy(value(metric))
    output *= -3.0
    target *= 0
    np.testing.assert_array_equal(value(metric), before)


class _Numpy:
    asarray = staticmethod(np.asarray)


@each
def test_float32_is_accumulated_in_float64(name):
    parts = [(x.astype("float32"), t if t.dtype.kind == "i" else t.astype("float32")) for x, t in batches(_Numpy, name)]
    metric = updated(METRICS[name][0](), parts)
    assert metric.compute().dtype == np.float64
    np.testing.assert_allclose(value(metric), expected(name, [(x.astype(float), t) for x, t in parts]), rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=1, max_size=12), st.integers(1, 12))
def test_the_area_counts_pairs_for_any_scores(examples, cut):
    x, t = (np.asarray(column) for column in zip(*examples, strict=True))
    metric = AUC()
    for part in (slice(0, cut), slice(cut, None)):
        if x[part].size:
            metric.update(x[part].astype("float32"), t[part])
    np.testing.assert_allclose(value(metric), auc(x, t.astype(int)), rtol=1e-12)


def test_forms_of_scores_and_targets(xp):
    x, t = scores(np.random.default_rng(0), 9)
    want = auc(x, t)
    two = xp.asarray(np.stack([0.0 * x, x], axis=1), "float64")
    x, t = xp.asarray(x, "float64"), xp.asarray(t, "int64")
    for output in (x, x[:, None], two):
        for target in (t, t[:, None], t == 1, xp.namespace.astype(t, x.dtype)):
            assert float(value(updated(AUC(), [(output, target)]))) == pytest.approx(want)


def test_many_batches_are_joined_to_few_arrays():
    metric = AUC()
    for i in range(200):
        metric.update(np.asarray([float(i)]), np.asarray([i % 2]))
    assert len(metric._totals["scores"].parts) < 64
    assert float(metric.compute()) == pytest.approx(101 / 200)


def test_undefined_areas_are_nan():
    for x, t in (([0.0, 1.0], [1, 1]), ([0.0, 1.0], [0, 0]), ([0.0, math.nan], [0, 1])):
        assert math.isnan(value(updated(AUC(), [(np.asarray(x), np.asarray(t))])))


def test_r2_of_a_large_mean_and_of_constant_targets():
    rng = np.random.default_rng(0)
    t = rng.normal(size=1000)
    x = t + 0.1 * rng.normal(size=1000)
    parts = [(x[i : i + 100] + 1e8, t[i : i + 100] + 1e8) for i in range(0, 1000, 100)]
    assert float(value(updated(R2(), parts))) == pytest.approx(r2(x[:, None], t[:, None]), rel=1e-6)
    ones = np.ones(3)
    assert float(value(updated(R2(), [(ones, ones)]))) == 1.0
    assert float(value(updated(R2(), [(2 * ones, ones)]))) == 0.0


def test_perplexity_of_losses_and_of_a_language_model(xp):
    logits, target = tokens(np.random.default_rng(0), 12)
    want = perplexity(logits, target)
    kept = int(np.sum(target != -100))
    loss = nnx.functional.cross_entropy(xp.asarray(logits, "float64"), xp.asarray(target, "int64"))
    assert float(value(updated(Perplexity(), [(loss, kept)]))) == pytest.approx(want)
    sequence = xp.asarray(logits.reshape(2, 6, CLASSES), "float64"), xp.asarray(target.reshape(2, 6), "int64")
    assert float(value(updated(Perplexity(axis=-1), [sequence]))) == pytest.approx(want)
    nothing = xp.asarray(logits, "float64"), xp.asarray(0 * target - 100, "int64")
    assert math.isnan(value(updated(Perplexity(), [nothing])))
    assert math.isnan(value(updated(Perplexity(), [(loss, 0)])))


@pytest.mark.parametrize("kind", [Precision, Recall, F1])
def test_errors_of_averages(kind):
    with pytest.raises(ArgumentError, match="expected average to be one of 'macro', 'micro', 'none', got 'weighted'"):
        kind("weighted")
    message = "expected true classes from 0 to 2 and scores that are numbers, got another class or NaN for 1 of 2"
    for x, t in (([[1.0, 0.0, 0.0], [0.0, 1.0, math.nan]], [0, 1]), ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [0, 3])):
        metric = updated(kind(), [(np.asarray(x), np.asarray(t))])
        with pytest.raises(ArgumentError, match=message):
            metric.compute()


def test_errors_of_scores():
    with pytest.raises(ShapeError, match=r"expected scores of shape \(batch,\), .* got \(2, 3\); for one of several"):
        AUC().update(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ShapeError, match=r"expected a target of shape \(2,\), one for each example, got \(3,\)"):
        AUC().update(np.ones(2), np.ones(3))
    with pytest.raises(DTypeError, match="expected scores of a real floating-point dtype, got int64"):
        AUC().update(np.ones(2, np.int64), np.ones(2))
    with pytest.raises(ArgumentError, match="expected targets 0 and 1, got others"):
        AUC().update(np.ones(2), np.asarray([0, 2]))


@pytest.mark.parametrize("kind", [MeanSquaredError, MeanAbsoluteError, R2])
def test_errors_of_numbers(kind):
    with pytest.raises(ShapeError, match=r"expected target of shape \(2, 1\), as the output, got \(2,\)"):
        kind().update(np.ones((2, 1)), np.ones(2))
    with pytest.raises(DTypeError, match="expected target of a real floating-point dtype, got int64"):
        kind().update(np.ones(2), np.ones(2, np.int64))


def test_errors_of_empty_batches_and_of_losses():
    with pytest.raises(ShapeError, match=r"expected arrays of shape \(batch, ...\), not empty, got \(0,\)"):
        R2().update(np.ones(0), np.ones(0))
    assert math.isnan(value(updated(MeanSquaredError(), [(np.ones(0), np.ones(0))])))
    with pytest.raises(ArgumentError, match=r"expected logits and an array .* got shape \(3,\) and 2"):
        Perplexity().update(np.ones(3), 2)
