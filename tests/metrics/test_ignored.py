"""Targets to ignore: a metric is that of the other examples."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError
from nnx.metrics import (
    F1,
    Accuracy,
    ConfusionMatrix,
    Perplexity,
    Precision,
    Recall,
    TopKAccuracy,
    accuracy,
    confusion_matrix,
    count_correct,
)

RNG = np.random.default_rng(6)
OUTPUT, TARGET = RNG.normal(size=(40, 4)), RNG.integers(4, size=40)
METRICS = {
    "accuracy": Accuracy,
    "top 2": lambda **options: TopKAccuracy(2, **options),
    "confusion matrix": ConfusionMatrix,
    "precision": Precision,
    "recall of each": lambda **options: Recall("none", **options),
    "F1": lambda **options: F1("micro", **options),
    "perplexity": Perplexity,
}


def value(metric):
    return nnx.to_numpy(metric.compute())


@pytest.mark.parametrize(
    ("index", "dtype"),
    [(0, "int32"), *(pytest.param(*case, marks=pytest.mark.further) for case in ((-100, "int64"), (255, "uint8")))],
)
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_that_of_the_other_examples(xp, name, index, dtype):
    target, output = np.where(RNG.random(40) < 0.4, index, TARGET), OUTPUT.copy()
    target[:7] = index  # a batch in which nothing counts
    if name != "perplexity":
        output[3] = np.nan  # what is ignored may be anything
    options = {} if index == -100 else {"ignore_index": index}
    metric, other = METRICS[name](**options), METRICS[name]()
    for part in (slice(0, 7), slice(7, 20), slice(20, 40)):
        metric.update(xp.asarray(output[part]), xp.asarray(target[part], dtype))
    other.update(xp.asarray(output[target != index]), xp.asarray(target[target != index], dtype))
    np.testing.assert_allclose(value(metric), value(other), rtol=1e-6)


def test_metrics_of_one_batch(xp):
    target = np.where(TARGET == 0, -1, TARGET)
    output, kept = xp.asarray(OUTPUT), target != -1
    given, rest = xp.asarray(target, "int64"), (xp.asarray(OUTPUT[kept]), xp.asarray(target[kept], "int64"))
    for metric in (accuracy, count_correct, confusion_matrix):
        found = nnx.to_numpy(metric(output, given, ignore_index=-1))
        np.testing.assert_allclose(found, nnx.to_numpy(metric(*rest)), rtol=1e-6)


def test_without_an_example_that_counts(xp):
    output, target = xp.asarray(OUTPUT), xp.asarray(np.full(40, -100), "int64")
    assert np.isnan(nnx.to_numpy(accuracy(output, target)))
    assert int(nnx.to_numpy(count_correct(output, target))) == 0
    for name in ("accuracy", "top 2", "perplexity"):
        metric = METRICS[name]()
        metric.update(output, target)
        assert np.isnan(value(metric))
    assert not nnx.to_numpy(confusion_matrix(output, target)).any()


def test_another_class_out_of_range_is_an_error_still():
    target = np.asarray([-100, 0, 7, 1])
    with pytest.raises(ArgumentError, match="target: expected classes from 0 to 3, got 7"):
        confusion_matrix(OUTPUT[:4], target)
    with pytest.raises(ArgumentError, match="target: expected classes from 0 to 3, got -100"):
        confusion_matrix(OUTPUT[:4], np.asarray([-100, 0, 1, 2]), ignore_index=-1)
    for metric in (ConfusionMatrix(), Precision()):
        metric.update(OUTPUT[:4], target)
        with pytest.raises(ArgumentError, match="for 1 of 4 examples"):
            metric.compute()


def test_perplexity_is_of_class_indices():
    with pytest.raises(DTypeError, match="expected class indices of an integer dtype, got float64"):
        Perplexity().update(OUTPUT, np.eye(4)[TARGET])


def test_with_the_trainer_loss_and_metric_ignore_the_same():
    x = RNG.normal(size=(12, 5)).astype("float32")
    target = np.where(np.arange(12) < 8, TARGET[:12], -100)
    model = nnx.Linear(5, 4, rng=0)
    trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.1), metrics=[Accuracy(), Perplexity()])
    found, expected = trainer.evaluate((x, target), batch_size=5), trainer.evaluate((x[:8], target[:8]))
    assert found == pytest.approx(expected)
