"""The checks of the arguments of connectionist temporal classification."""

from typing import Any

from nnx.autodiff import stop_gradient
from nnx.backend import dtype_name, is_cheap_to_read, namespace, to_numpy
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import as_integer, expect_array, expect_real, expect_shape
from nnx.types import Array


def check_ctc(
    log_probabilities: Array,
    target: Array,
    input_lengths: Array | None,
    target_lengths: Array | None,
    blank: int,
    batch_first: bool,
    zero_infinity: bool,
) -> None:
    """Check the arguments of :func:`nnx.functional.ctc`."""
    expect_real(log_probabilities, "log_probabilities")
    axes = "(batch, time, classes)" if batch_first else "(time, batch, classes)"
    if log_probabilities.ndim != 3 or 0 in log_probabilities.shape:
        got = tuple(log_probabilities.shape)
        raise ShapeError(f"expected log_probabilities of shape {axes}, at least one of each, got {got}")
    shape = tuple(log_probabilities.shape)
    (batch, times), classes = shape[:2] if batch_first else shape[1::-1], shape[2]
    if not as_integer(blank, "blank", 0) < classes:
        raise ArgumentError(f"expected blank to be a class from 0 to {classes - 1}, got {blank}")
    expect_array(target, "target")
    if target.ndim != 2 or target.shape[0] != batch:
        raise ShapeError(
            f"expected target of shape ({batch}, length), got {tuple(target.shape)}; pad targets of different lengths, "
            "and pass target_lengths"
        )
    arrays = {"target": target, "input_lengths": input_lengths, "target_lengths": target_lengths}
    for name, array in arrays.items():
        if array is None:
            continue
        expect_array(array, name)
        if not namespace(array).isdtype(array.dtype, "integral"):
            raise DTypeError(f"expected {name} of an integer dtype, got {dtype_name(array.dtype)}")
        if name != "target":
            expect_shape(array, (batch,), name, "one for each example")
    plain = [None if array is None else stop_gradient(array) for array in arrays.values()]
    if all(array is None or is_cheap_to_read(array) for array in plain):
        host: list[Any] = [None if array is None else to_numpy(array) for array in plain]
        labels, time_counts, label_counts = host
        label_counts = labels.shape[1] + 0 * labels[:, :1].sum(axis=1) if label_counts is None else label_counts
        time_counts = times + 0 * label_counts if time_counts is None else time_counts
        _check_range(time_counts, 1, times, "input_lengths")
        _check_range(label_counts, 0, labels.shape[1], "target_lengths")
        _check_labels(labels, label_counts, time_counts, classes, blank, zero_infinity)


def _check_range(values: Any, least: int, most: int, name: str) -> None:
    wrong = values[(values < least) | (values > most)]
    if wrong.size:
        raise ArgumentError(f"expected {name} from {least} to {most}, got {wrong[0]}")


def _check_labels(
    labels: Any, label_counts: Any, time_counts: Any, classes: int, blank: int, zero_infinity: bool
) -> None:
    """Check labels and lengths in the host's memory."""
    inside = namespace(labels).arange(labels.shape[1])[None, :] < label_counts[:, None]
    wrong = labels[inside & ((labels < 0) | (labels >= classes) | (labels == blank))]
    if wrong.size:
        raise ArgumentError(
            f"expected labels from 0 to {classes - 1} other than the blank, {blank}, got {wrong[0]}; "
            "pass target_lengths for padded targets"
        )
    if zero_infinity:
        return
    needed = label_counts + ((labels[:, 1:] == labels[:, :-1]) & inside[:, 1:]).sum(axis=1)
    if (needed > time_counts).any():
        i = (needed > time_counts).argmax()
        raise ArgumentError(
            f"expected targets that fit into their inputs, got {label_counts[i]} labels that take {needed[i]} times "
            f"for an input of {time_counts[i]} in example {i}; zero_infinity=True counts such an example as 0"
        )
