"""Metrics of classifiers over many batches."""

import math
from typing import Any

from nnx.backend import dtype_name, is_cheap_to_read, namespace, to_numpy
from nnx.errors import ArgumentError, NonFiniteError
from nnx.functional.checks import counted
from nnx.metrics.base import Metric
from nnx.metrics.of_one_batch import count_cells, count_examples, fraction_of
from nnx.metrics.predictions import Predictions, compare, count, is_among_largest
from nnx.types import Array


class Accuracy(Metric):
    """The fraction of examples whose largest output is that of the target's class; see :func:`nnx.metrics.accuracy`.

    :meth:`~nnx.metrics.Metric.compute` returns it in the widest floating-point dtype of the device. If an output was
    NaN it raises NonFiniteError, or returns NaN where reading that would wait for a device. Without an example to count
    it is NaN too.

    Parameters
    ----------
    ignore_index : int
        Examples with this class index are not counted, such as padding; the default is that of the losses.

    Examples
    --------
    >>> import numpy as np
    >>> metric = Accuracy()
    >>> metric.update(np.asarray([[0.1, 0.9], [0.8, 0.2]]), np.asarray([1, 1]))
    >>> metric.update(np.asarray([[0.5, 0.5], [0.3, 0.7]]), np.asarray([0, 1]))
    >>> float(metric.compute())
    0.75
    """

    sums = ("correct", "undefined", "ignored", "examples")

    def __init__(self, *, ignore_index: int = -100) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def measure(self, output: Array, target: Array) -> dict[str, Any]:
        """Count what is correct among outputs (batch, classes, ...) and targets as in :func:`accuracy`."""
        found = compare(output, target, self.ignore_index)
        return _counts(found, found.predicted == found.true)

    def result(self, correct: Array, undefined: Array, ignored: Array, examples: int) -> Array:
        """Return the fraction of correct examples."""
        return _fraction(correct, undefined, ignored, examples)


class TopKAccuracy(Metric):
    """The fraction of examples for which the output of the target's class is among the ``k`` largest.

    At a tie lower classes come first, so that ``k=1`` is the same as :class:`Accuracy`.

    Parameters
    ----------
    k : int
        At least 1.
    ignore_index : int
        Examples with this class index are not counted.

    Raises
    ------
    ArgumentError
        If ``k`` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> metric = TopKAccuracy(k=2)
    >>> metric.update(np.asarray([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), np.asarray([2, 2]))
    >>> float(metric.compute())
    0.5
    """

    sums = Accuracy.sums

    def __init__(self, k: int = 5, *, ignore_index: int = -100) -> None:
        super().__init__()
        if not isinstance(k, int) or k < 1:
            raise ArgumentError(f"expected k to be an integer of at least 1, got {k!r}")
        self.k = k
        self.ignore_index = ignore_index

    def measure(self, output: Array, target: Array) -> dict[str, Any]:
        """Count what is correct among outputs (batch, classes, ...) and targets as in :func:`accuracy`."""
        found = compare(output, target, self.ignore_index)
        return _counts(found, is_among_largest(output, found, self.k))

    def result(self, correct: Array, undefined: Array, ignored: Array, examples: int) -> Array:
        """Return the fraction."""
        return _fraction(correct, undefined, ignored, examples)


class ConfusionMatrix(Metric):
    """How many examples of each class were predicted as each class; see :func:`nnx.metrics.confusion_matrix`.

    ``compute`` reads one number from the device: how many examples belong to no cell of the matrix.

    Parameters
    ----------
    classes : int, optional
        The number of rows and columns; default the number of outputs.
    ignore_index : int
        Examples with this class index are not counted.

    Examples
    --------
    >>> import numpy as np
    >>> metric = ConfusionMatrix()
    >>> metric.update(np.asarray([[0.9, 0.1], [0.2, 0.8]]), np.asarray([0, 1]))
    >>> metric.update(np.asarray([[0.6, 0.4]]), np.asarray([1]))
    >>> metric.compute()
    array([[1, 0],
           [1, 1]])
    """

    sums = ("cells", "examples")

    def __init__(self, classes: int | None = None, *, ignore_index: int = -100) -> None:
        super().__init__()
        if classes is not None and (not isinstance(classes, int) or classes < 1):
            raise ArgumentError(f"expected classes to be an integer of at least 1, got {classes!r}")
        self.classes = classes
        self.ignore_index = ignore_index

    def measure(self, output: Array, target: Array) -> dict[str, Any]:
        """Count the pairs of classes in outputs (batch, classes) and their targets."""
        found = compare(output, target, self.ignore_index)
        cells = count_cells(output, found, self.classes or output.shape[1])
        return {"cells": cells, "examples": count_examples(found)}

    def result(self, cells: Array, examples: int) -> Array:
        """Return the matrix, or raise ArgumentError if an example belongs to no cell of it."""
        _expect_countable(cells, examples)
        classes, lost = math.isqrt(cells.shape[0] - 1), int(to_numpy(cells[-1]))
        if lost:
            raise ArgumentError(
                f"expected true and predicted classes from 0 to {classes - 1}, got another, or NaN in the output, "
                f"for {lost} of {counted(examples, 'example')}"
            )
        return namespace(cells).reshape(cells[:-1], (classes, classes))


def _counts(found: Predictions, correct: Array) -> dict[str, Any]:
    correct = correct & ~found.undefined
    return {
        "correct": count(correct),
        "undefined": count(found.undefined),
        "ignored": count(found.ignored),
        "examples": count_examples(found),
    }


def _fraction(correct: Array, undefined: Array, ignored: Array, examples: int) -> Array:
    _expect_countable(correct, examples)
    if is_cheap_to_read(undefined) and int(to_numpy(undefined)):
        raise NonFiniteError(
            f"expected scores that are numbers, got NaN for {int(to_numpy(undefined))} of "
            f"{counted(examples, 'example')}; nnx.layer_outputs(model, x) shows in which layer it begins"
        )
    return fraction_of(correct, examples - ignored, undefined)


def _expect_countable(counts: Array, examples: int) -> None:
    if dtype_name(counts.dtype) == "int32" and examples >= 2**31:
        raise ArgumentError(
            f"expected fewer than 2**31 examples where there is no int64, got {examples}; switch the library's 64-bit "
            "mode on, or compute metrics of parts"
        )
