"""What all metrics share: adding batches without losing a digit, merging, saving; and the mean."""

import json
import math
import pickle

import numpy as np
import pytest

import nnx
from nnx.backend import device_of, namespace
from nnx.errors import ArgumentError, CheckpointError, DTypeError, NonFiniteError, ShapeError, UsageError
from nnx.metrics import Accuracy, ConfusionMatrix, Mean, Metric, TopKAccuracy, accuracy, confusion_matrix

METRICS = [Accuracy(), TopKAccuracy(2), ConfusionMatrix(), ConfusionMatrix(5)]


def batches(xp, count=4, classes=4):
    rng = np.random.default_rng(0)
    sizes = [7, 7, 7, 3][:count]
    return [
        (xp.asarray(rng.normal(size=(n, classes))), xp.asarray(rng.integers(0, classes, n), "int32")) for n in sizes
    ]


def filled(metric, data):
    metric = pickle.loads(pickle.dumps(metric))
    for batch in data:
        metric.update(*batch)
    return metric


def read(value):
    return nnx.to_numpy(value).tolist()


def whole(xp, data):
    return [tuple(xp.namespace.concat(parts) for parts in zip(*data, strict=True))]


@pytest.mark.parametrize("metric", [*METRICS, Mean()], ids=repr)
def test_batches_add_up_to_all_examples(xp, metric):
    data = batches(xp)
    if isinstance(metric, Mean):
        data = [(output[:, 0], xp.namespace.abs(output[:, 1])) for output, _ in data]
    at_once = nnx.to_numpy(filled(metric, whole(xp, data)).compute())
    first, second, empty = filled(metric, data[:1]), filled(metric, data[1:]), filled(metric, ())
    in_parts = [filled(metric, data), first + second, empty + second + first, first.merge(empty, second)]
    for part in in_parts:
        np.testing.assert_allclose(nnx.to_numpy(part.compute()), at_once, rtol=1e-15)
        assert device_of(part.compute()) == device_of(data[0][0])
        assert namespace(part.compute()) is namespace(data[0][0])
    assert read(second.compute()) == read(filled(metric, data[1:]).compute())


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_a_saved_metric_goes_on(xp, metric):
    data = batches(xp)
    saved = nnx.to_numpy(filled(metric, data[:2]).state_dict())
    resumed = filled(metric, ())
    resumed.load_state_dict(saved)
    assert read(resumed.compute()) == read(filled(metric, data[:2]).compute())
    for batch in data[2:]:
        resumed.update(*batch)
    assert read(resumed.compute()) == read(filled(metric, data).compute())
    assert device_of(resumed.compute()) == device_of(data[0][0])
    resumed.load_state_dict({})
    assert resumed.state_dict() == {}


def test_metrics_of_two_libraries_merge_on_the_first_ones_device(xp):
    data, host = batches(xp), [tuple(map(nnx.to_numpy, batch)) for batch in batches(xp)]
    for metric in METRICS:
        merged = filled(metric, data[:2]).merge(filled(metric, host[2:]))
        assert read(merged.compute()) == read(filled(metric, data).compute())
        assert device_of(merged.compute()) == device_of(data[0][0])


@pytest.mark.parametrize("metric", [*METRICS, Mean()], ids=repr)
def test_without_a_batch_there_is_nothing_to_compute(metric):
    with pytest.raises(UsageError, match=rf"{type(metric).__name__}.compute needs a batch before it; call update\("):
        metric.compute()


def test_reset():
    mean = Mean()
    mean.update(np.asarray(3.0))
    mean.reset()
    mean.update(np.asarray(1.0))
    assert float(mean.compute()) == 1


def test_config_and_repr():
    metrics = [*METRICS, TopKAccuracy(), Mean()]
    assert [repr(metric) for metric in metrics] == [
        "Accuracy()",
        "TopKAccuracy(k=2)",
        "ConfusionMatrix()",
        "ConfusionMatrix(classes=5)",
        "TopKAccuracy()",
        "Mean()",
    ]
    assert TopKAccuracy().config() == {"type": "TopKAccuracy", "k": 5, "ignore_index": -100}
    for metric in metrics:
        again = nnx.from_config(json.loads(json.dumps(metric.config())))
        assert (type(again), repr(again)) == (type(metric), repr(metric))


def test_only_equals_merge():
    for other in (TopKAccuracy(3), Accuracy()):
        with pytest.raises(ArgumentError, match=r"expected a metric TopKAccuracy\(k=2\) to merge with, got "):
            TopKAccuracy(2).merge(other)
    with pytest.raises(TypeError, match="unsupported operand"):
        Mean() + 1


@pytest.mark.parametrize(
    "state", [{"correct": 1}, {"total": 1, "weight": "x"}, {"weight": 1, "total": 2, "more": 3}, {"total.error": 1.0}]
)
def test_a_state_of_another_kind(state):
    mean = Mean()
    mean.update(np.asarray(1.0))
    with pytest.raises(CheckpointError, match=r"the sums of Mean\(\) as arrays or integers, total, weight, got "):
        mean.load_state_dict(state)
    assert float(mean.compute()) == 1


def test_a_metric_must_be_defined():
    class Half(Metric):
        sums = ("a", "b")

        def measure(self, x):
            return {"a": x}

    with pytest.raises(UsageError, match="Metric defines no measure"):
        Metric().update(1)
    with pytest.raises(UsageError, match=r"Half.measure: expected the sums a, b, got a$"):
        Half().update(np.ones(()))
    metric = Half()
    metric.load_state_dict({"a": 1, "b": 2})
    with pytest.raises(UsageError, match=r"Half defines no result\(self, a, b\)"):
        metric.compute()


def test_a_metric_inside_a_transform_keeps_plain_arrays(xp):
    mean, right = Mean(), Accuracy()
    x, target = xp.asarray([[1.0, 2.0], [3.0, 0.0]]), xp.asarray([1, 1], "int32")

    def function(x):
        value = namespace(x).sum(x * x)
        mean.update(value)
        right.update(x, target)
        return value

    nnx.grad(function)(x)
    assert read(mean.compute()) == 14
    assert read(right.compute()) == 0.5


def test_a_million_batches_lose_no_digit():
    values = (1.0 + np.random.default_rng(0).random(1000)).astype(np.float32)
    mean = Mean()
    for value in values:
        mean.update(value, 1000)
    assert float(mean.compute()) == pytest.approx(math.fsum(map(float, values)) / 1000, rel=1e-14)
    mean = sum((mean for _ in range(999)), start=mean)
    assert mean.state_dict()["weight"] == 10**9
    assert float(mean.compute()) == pytest.approx(math.fsum(map(float, values)) / 1000, rel=1e-13)


def without_float64():
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    return strict, strict.Device("no_float64")


def test_a_device_without_float64_loses_no_digit_either():
    strict, device = without_float64()
    values = (1.0 + np.random.default_rng(0).random(5000)).astype(np.float32)
    mean, plain = Mean(), np.float32(0)
    for value in values:
        mean.update(strict.asarray(value, device=device))
        plain += value
    exact = math.fsum(map(float, values))
    total, error = (nnx.to_numpy(mean.state_dict()[name]) for name in ("total", "total.error"))
    assert total.dtype == np.float32
    assert abs(float(total) + float(error) - exact) < 1e-9 * exact
    assert abs(float(plain) - exact) > 1e-7 * exact
    assert float(nnx.to_numpy(mean.compute())) == pytest.approx(exact / 5000, rel=6e-8)
    resumed = Mean()
    resumed.load_state_dict(nnx.to_numpy(mean.state_dict()))
    assert float(resumed.compute()) == pytest.approx(exact / 5000, rel=6e-8)


def test_sums_of_devices_with_and_without_float64_merge_to_the_last_digit():
    strict, device = without_float64()
    big, small = 2.0**30 + 1.0, 0.5
    for order in ((0, 1), (1, 0)):
        pair = [Mean(), Mean()]
        pair[0].update(np.asarray(big))
        pair[1].update(strict.asarray(small, dtype=strict.float32, device=device), 0.25)
        first, second = (pair[i] for i in order)
        state = nnx.to_numpy((first + second).state_dict())
        assert sum(float(state.get(name, 0)) for name in ("total", "total.error")) == big + small / 4
        assert sum(float(state.get(name, 0)) for name in ("weight", "weight.error")) == 1.25


def test_infinity_and_nan_on_a_device_without_float64():
    strict, device = without_float64()
    for values, expected in (([np.inf, 1.0], np.inf), ([np.nan, 1.0], np.nan)):
        mean = Mean()
        for value in (1.0, *values):
            mean.update(strict.asarray(value, dtype=strict.float32, device=device))
        assert read(mean.compute()) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinity_and_nan_stay_what_they_are(xp, dtype):
    for values, expected in (([np.inf, 1.0], np.inf), ([np.nan, 1.0], np.nan)):
        mean = Mean()
        for value in (1.0, *values):
            mean.update(xp.asarray(value, dtype))
        assert read(mean.compute()) == pytest.approx(expected, nan_ok=True)


def test_mean_takes_weights_of_every_kind(xp):
    values = xp.asarray([1.0, 2.0, 4.0])
    for weight, expected in ((2, 7 / 3), (0.5, 7 / 3), (xp.asarray([1.0, 0.0, 3.0]), 13 / 4), (xp.asarray(2.0), 7 / 3)):
        mean = Mean()
        mean.update(values, weight)
        assert read(mean.compute()) == pytest.approx(expected)
    mean = Mean()
    mean.update(xp.asarray([1, 2], "int32"))
    mean.update(xp.asarray(2.0), xp.asarray(2.0))
    mean.update(xp.asarray([True, False], "bool"))
    assert read(mean.compute()) == pytest.approx(8 / 6)
    mean = Mean()
    mean.update(0.1)
    assert float(mean.compute()) == 0.1


def test_mean_refuses_what_it_cannot_weigh():
    with pytest.raises(ShapeError, match=r"one weight for all values or one for each, of shape \(3,\), got \(2,\)"):
        Mean().update(np.ones(3), np.ones(2))
    with pytest.raises(DTypeError, match="expected real values, got complex128; take their real part"):
        Mean().update(np.ones(3, complex))
    with pytest.raises(DTypeError, match="an array or a number to take the mean of, got str"):
        Mean().update("1")
    mean = Mean()
    mean.update(np.ones(3), 0)
    with pytest.raises(UsageError, match="expected weights that do not add up to 0, got 0"):
        mean.compute()


@pytest.mark.parametrize("metric", METRICS[:3], ids=repr)
def test_counts_are_exact_beyond_the_digits_of_float32(xp, metric):
    (output, target), *_ = batches(xp, 1)
    part = filled(metric, [(output, target)])
    expected, factor = part.compute(), 2**30
    for _ in range(30):
        part = part + part
    sums = part.state_dict()
    assert sums["examples"] == 7 * factor
    count = read(sums.get("correct", sums.get("cells")))
    first = filled(metric, [(output, target)]).state_dict()
    assert count == (factor * nnx.to_numpy(first.get("correct", first.get("cells"))).astype(np.int64)).tolist()
    if isinstance(metric, ConfusionMatrix):
        assert read(part.compute()) == (factor * nnx.to_numpy(expected)).tolist()
    else:
        assert read(part.compute()) == read(expected)


def test_without_int64_too_many_examples_are_refused():
    for metric, count in ((Accuracy(), "correct"), (ConfusionMatrix(2), "cells")):
        metric.update(np.asarray([[0.0, 1.0]]), np.asarray([1]))
        state = metric.state_dict()
        metric.load_state_dict(state | {count: state[count].astype(np.int32), "examples": 2**31})
        with pytest.raises(
            ArgumentError, match="fewer than 2\\*\\*31 examples where there is no int64, got 2147483648"
        ):
            metric.compute()


def test_the_number_of_classes_stays():
    matrix = ConfusionMatrix()
    matrix.update(np.ones((1, 3)), np.asarray([0]))
    with pytest.raises(ShapeError, match=r"expected sums of one shape, got \(10,\) and \(17,\); every batch must have"):
        matrix.update(np.ones((1, 4)), np.asarray([0]))
    assert matrix.compute().sum() == 1


def test_k_and_classes_are_checked():
    with pytest.raises(ArgumentError, match="expected k to be an integer of at least 1, got 0"):
        TopKAccuracy(0)
    with pytest.raises(ArgumentError, match="expected classes to be an integer of at least 1, got 2"):
        ConfusionMatrix(2.0)


def test_top_k_counts_what_sorting_finds_and_top_1_is_the_accuracy(xp):
    rng = np.random.default_rng(1)
    output = rng.integers(0, 4, (40, 6, 2)).astype(np.float32)  # many ties
    output[0, 0, 0] = -np.inf
    output[1, 1, 0] = np.inf
    target = rng.integers(0, 6, (40, 2))
    target[2, 0] = 6  # no class
    order = np.argsort(-output, axis=1, kind="stable")
    for k in (1, 2, 6, 9):
        metric = filled(TopKAccuracy(k), [(xp.asarray(output), xp.asarray(target, "int32"))])
        assert read(metric.compute()) == pytest.approx(np.mean((order[:, :k] == target[:, None]).any(axis=1)))
        if k == 1:
            assert read(metric.compute()) == read(
                filled(Accuracy(), [(xp.asarray(output), xp.asarray(target, "int32"))]).compute()
            )


NAN = [[0.1, np.nan, 0.2], [0.9, 0.0, 0.1]]


@pytest.mark.parametrize("form", ["output", "target"])
def test_nan_predicts_no_class(xp, form):
    output, target = (NAN, [0, 0]) if form == "output" else ([[1.0, 0.0, 0.2], [0.9, 0.0, 0.1]], NAN)
    output, target = xp.asarray(output), xp.asarray(target, "int32" if form == "output" else "float32")
    message = "expected scores that are numbers, got NaN for 1 of 2 examples"
    computed = [lambda: accuracy(output, target), filled(Accuracy(), [(output, target)]).compute]
    computed.append(filled(TopKAccuracy(1), [(output, target)]).compute)
    for compute in computed:
        if nnx.backend.is_cheap_to_read(output):
            with pytest.raises(NonFiniteError, match=message):
                compute()
        else:
            assert math.isnan(read(compute()))
    with pytest.raises(NonFiniteError, match=message):
        confusion_matrix(output, target)
    with pytest.raises(ArgumentError, match="from 0 to 2, got another, or NaN in the output, for 1 of 2 examples"):
        filled(ConfusionMatrix(), [(output, target)]).compute()
    if not nnx.backend.is_cheap_to_read(output):
        assert read(nnx.metrics.count_correct(output, target)) == 1
    else:
        with pytest.raises(NonFiniteError, match=message):
            nnx.metrics.count_correct(output, target)


def test_an_update_reads_nothing(xp, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("read from the device")

    data = batches(xp)
    kinds = {type(array) for batch in data for array in batch}
    for kind in kinds:
        for name in ("__float__", "__int__", "__bool__", "__index__", "item", "tolist"):
            if hasattr(kind, name) and xp.name == "array-api-strict":
                monkeypatch.setattr(kind, name, refuse)
    for metric in (*METRICS, Mean()):
        for output, target in data:
            metric.update(*((output, target) if metric.sums != Mean.sums else (output[0, 0], 3)))
        metric.reset()


@pytest.mark.parametrize(
    ("output", "target", "error", "message"),
    [
        (np.ones((5, 1)), np.ones((5, 1)), ShapeError, r"scores of two classes or more, got \(5, 1\); numbers, as in"),
        (np.ones((5, 1)), np.ones(5, int), ShapeError, r"scores of two classes or more, got \(5, 1\)"),
        (
            (np.ones((5, 2)),),
            np.ones(5, int),
            ShapeError,
            "an output that is one array of .*, got tuple; pass the part",
        ),
        (np.ones((5, 2)), np.ones((5, 1), int), ShapeError, "drop the axis of length 1, for example with target"),
        (np.ones((5, 2)), np.ones(5), DTypeError, "got float64 of shape .*; cast the indices, for example"),
        (np.ones((5, 2)), np.ones((5, 2), int), DTypeError, "got int64 of shape .*; cast the vectors, for example"),
    ],
)
def test_what_has_no_accuracy(output, target, error, message):
    for compute in (accuracy, Accuracy().update, ConfusionMatrix().update, TopKAccuracy().update):
        with pytest.raises(error, match=message):
            compute(output, target)


def test_jax_without_its_64_bit_mode():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    with jax.enable_x64(False):
        output, target = jax.numpy.asarray([[0.0, 1.0], [1.0, 0.0]]), jax.numpy.asarray([1, 1])
        for metric, expected in ((Accuracy(), 0.5), (TopKAccuracy(1), 0.5), (ConfusionMatrix(), [[0, 0], [1, 1]])):
            assert read(filled(metric, [(output, target)]).compute()) == expected
        mean = Mean()
        for value in (0.1, 0.2, 0.4):
            mean.update(jax.numpy.asarray(value), 10)
        assert set(mean.state_dict()) == {"total", "total.error", "weight"}
        assert read(mean.compute()) == pytest.approx(0.7 / 3)
