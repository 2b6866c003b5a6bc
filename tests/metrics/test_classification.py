import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, BackendError, DTypeError, ShapeError
from nnx.metrics import accuracy, confusion_matrix, count_correct

OUTPUT = [[0.1, 0.7, 0.2], [0.9, 0.0, 0.1], [0.2, 0.2, 0.1], [0.0, 0.0, 1.0]]  # predicts 1, 0, 0 (a tie), 2


@pytest.mark.parametrize(("target", "expected"), [([1, 0, 0, 2], 1.0), ([1, 0, 1, 2], 0.75), ([0, 1, 2, 0], 0.0)])
def test_accuracy_of_class_indices_and_one_hot_targets(xp, target, expected):
    output, index = xp.asarray(OUTPUT), xp.asarray(target, "int32")
    for form in (index, nnx.data.index_to_one_hot(index, 3)):
        value = accuracy(output, form)
        assert tuple(value.shape) == ()
        assert value.dtype == output.dtype
        assert float(xp.to_numpy(value)) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_indices_of_any_integer_dtype(xp, dtype):
    output, target = xp.asarray(OUTPUT), xp.asarray([1, 0, 1, 2], dtype)
    assert float(xp.to_numpy(accuracy(output, target))) == pytest.approx(0.75)
    assert int(xp.to_numpy(count_correct(output, target))) == 3
    assert xp.to_numpy(confusion_matrix(output, target)).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_accuracy_takes_further_axes(xp):
    output = np.zeros((2, 3, 4), np.float32)
    output[:, 1, :] = 1
    target = np.ones((2, 4), np.int32)
    target[0, 0] = 2
    assert float(xp.to_numpy(accuracy(xp.asarray(output), xp.asarray(target, "int32")))) == pytest.approx(7 / 8)


def test_confusion_matrix_has_targets_in_rows_and_predictions_in_columns(xp):
    output, index = xp.asarray(OUTPUT), xp.asarray([1, 2, 1, 2], "int32")
    for form in (index, nnx.data.index_to_one_hot(index, 3)):
        matrix = confusion_matrix(output, form)
        assert xp.to_numpy(matrix).tolist() == [[0, 0, 0], [1, 1, 0], [1, 0, 1]]
        assert str(matrix.dtype).endswith("int32")
        assert nnx.backend.device_of(matrix) == nnx.backend.device_of(output)


def test_confusion_matrix_can_be_wider_than_the_output():
    matrix = confusion_matrix(np.asarray(OUTPUT), np.asarray([3, 0, 0, 2]), classes=5)
    assert matrix.shape == (5, 5)
    assert matrix[3, 1] == 1


@pytest.mark.parametrize("metric", [accuracy, confusion_matrix])
@pytest.mark.parametrize(
    ("output", "target", "error", "message"),
    [
        (np.ones(3), np.ones(3, int), ShapeError, r"output of shape \(batch, classes, ...\).*got \(3,\)"),
        (np.ones((0, 3)), np.ones(0, int), ShapeError, r"at least one example, got \(0, 3\)"),
        (np.ones((2, 3), int), np.ones(2, int), DTypeError, "floating-point dtype, got int64; pass the model's output"),
        (np.ones((2, 3)), np.ones(4, int), ShapeError, r"indices of shape \(2,\) .* got int64 of shape \(4,\)"),
        (np.ones((2, 3)), np.ones((2, 3), int), DTypeError, r"one-hot vectors .* got int64 of shape \(2, 3\)"),
        (np.ones((2, 3)), np.ones(2, bool), DTypeError, r"expected class indices of an integer dtype, got bool; cast"),
        (np.ones((2, 3)), np.ones(2), DTypeError, r"integer class indices .* got float64 of shape \(2,\)"),
    ],
)
def test_bad_arguments(metric, output, target, error, message):
    with pytest.raises(error, match=message):
        metric(output, target)


def test_confusion_matrix_refuses_more_axes_and_classes_out_of_range():
    with pytest.raises(ShapeError, match=r"output of shape \(batch, classes\), got \(2, 3, 4\)"):
        confusion_matrix(np.ones((2, 3, 4)), np.ones((2, 4), int))
    with pytest.raises(ArgumentError, match="target: expected classes from 0 to 2, got 3"):
        confusion_matrix(np.ones((1, 3)), np.asarray([3]))
    with pytest.raises(ArgumentError, match="target: expected classes from 0 to 2, got -1"):
        confusion_matrix(np.ones((1, 3)), np.asarray([-1]))
    with pytest.raises(ArgumentError, match="output: expected classes from 0 to 1, got 2"):
        confusion_matrix(np.asarray([[0.0, 0.0, 1.0]]), np.asarray([0]), classes=2)


def test_two_libraries_are_one_clear_error():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(BackendError, match=r"numpy \(argument 0\) and torch \(argument 1\)"):
        accuracy(np.ones((2, 3)), torch.ones(2, dtype=torch.int64))
