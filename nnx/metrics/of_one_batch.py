"""Metrics of a classifier for a single batch."""

import math

from nnx.autodiff import stop_gradient
from nnx.backend import is_cheap_to_read, namespace, scatter_add, to_numpy
from nnx.errors import ArgumentError, NonFiniteError, ShapeError
from nnx.functional.checks import counted
from nnx.metrics.predictions import Predictions, compare, count
from nnx.metrics.sums import ratio
from nnx.types import Array


def accuracy(output: Array, target: Array, *, ignore_index: int = -100) -> Array:
    r"""Return the fraction of examples whose largest output is that of the target's class.

    .. math:: \frac{1}{n} \sum_i [\operatorname{argmax}_k x_{ik} = t_i]

    :class:`nnx.metrics.Accuracy` is the same over many batches.

    Parameters
    ----------
    output : array, shape (batch, classes, ...)
        Scores of any kind, such as logits or probabilities. At a tie the lowest class counts as predicted.
    target : array
        With an integer dtype, class indices of shape (batch, ...). With a floating-point dtype, one-hot vectors of the
        shape of ``output``.
    ignore_index : int
        Examples with this class index are not counted, as in :func:`nnx.functional.cross_entropy`.

    Returns
    -------
    accuracy : array, shape ()
        In [0, 1], of the dtype of ``output``; it is not read from the device. NaN if an output is NaN, or if all
        examples are ignored.

    Raises
    ------
    ShapeError
        If the shapes do not fit, there is no example, or there are fewer than two classes.
    DTypeError
        If ``output`` holds integers, or the target is an integer one-hot array or holds booleans.
    NonFiniteError
        If an output is NaN, which predicts nothing, and the array can be read without waiting for a device.

    Examples
    --------
    >>> import numpy as np
    >>> output = np.asarray([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7]])
    >>> float(accuracy(output, np.asarray([1, 0, 0, 0])))
    0.75
    """
    output, target = stop_gradient(output), stop_gradient(target)
    found = compare(output, target, ignore_index)
    _expect_defined(found)
    fraction = fraction_of(count(found.predicted == found.true), count(~found.ignored), count(found.undefined))
    return namespace(output).astype(fraction, output.dtype)


def fraction_of(correct: Array, counted: Array, undefined: Array) -> Array:
    """Return a fraction of the examples that are counted, NaN if there is none, or if one is undefined."""
    xp = namespace(correct)
    fraction = ratio(correct, xp.where(counted == 0, 1, counted))
    return xp.where((undefined > 0) | (counted == 0), xp.full_like(fraction, float("nan")), fraction)


def count_correct(output: Array, target: Array, *, ignore_index: int = -100) -> Array:
    """Return how many examples :func:`accuracy` would count as correct: an integer array of shape ().

    An example with NaN in its output does not count as correct, or raises NonFiniteError as in :func:`accuracy`.
    """
    found = compare(stop_gradient(output), stop_gradient(target), ignore_index)
    _expect_defined(found)
    return count((found.predicted == found.true) & ~found.undefined)


def confusion_matrix(output: Array, target: Array, classes: int | None = None, *, ignore_index: int = -100) -> Array:
    """Count for each class of the target which class was predicted.

    The matrices of several batches add up to that of all examples, which is :class:`nnx.metrics.ConfusionMatrix`.

    Parameters
    ----------
    output : array, shape (batch, classes)
        Scores, as in :func:`accuracy`.
    target : array, shape (batch,) or (batch, classes)
        Class indices, or one-hot vectors.
    classes : int, optional
        The number of rows and columns; default the number of outputs.
    ignore_index : int
        Examples with this class index are not counted.

    Returns
    -------
    matrix : array of int32, shape (classes, classes)
        ``matrix[i, j]`` examples of class ``i`` were predicted as class ``j``. On the device of ``output``.

    Raises
    ------
    ShapeError, DTypeError
        As in :func:`accuracy`.
    ArgumentError, NonFiniteError
        If a class is out of range, or an output is NaN; to check that, a number is read from the device.

    Examples
    --------
    >>> import numpy as np
    >>> output = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> confusion_matrix(output, np.asarray([0, 1, 1]))
    array([[1, 0],
           [1, 1]], dtype=int32)
    """
    output, target = stop_gradient(output), stop_gradient(target)
    found = compare(output, target, ignore_index)
    classes = output.shape[1] if classes is None else classes
    cells = count_cells(output, found, classes)
    if int(to_numpy(cells[-1])):
        _expect_defined(found, read=True)
        xp = namespace(found.true, found.predicted)
        true, predicted = (xp.where(found.ignored, 0, index) for index in (found.true, found.predicted))
        for what, index in (("target", true), ("output", predicted)):
            _check_range(what, index, classes)
    return namespace(cells).reshape(cells[:-1], (classes, classes))


def count_cells(output: Array, found: Predictions, classes: int) -> Array:
    """Return the cells of a confusion matrix as a vector of int32, with one more: how many examples belong to none."""
    if output.ndim != 2:
        raise ShapeError(f"expected output of shape (batch, classes), got {tuple(output.shape)}")
    true, predicted = found.true, found.predicted
    xp = namespace(true, predicted)
    predicted = xp.astype(predicted, true.dtype)
    is_known = xp.logical_not(found.undefined)
    for index in (true, predicted):
        is_known = xp.logical_and(is_known, xp.logical_and(index >= 0, index < classes))
    cell = true * classes + predicted
    cell = xp.where(is_known, cell, xp.full_like(cell, classes * classes))
    return scatter_add(xp.astype(~found.ignored, xp.int32), (classes * classes + 1,), cell)


def count_examples(found: Predictions) -> int:
    """Return how many examples there are, with those that are ignored."""
    return math.prod(found.true.shape)


def _expect_defined(found: Predictions, read: bool = False) -> None:
    """Raise NonFiniteError if an example is undefined, where that is cheap to read."""
    if not read and not is_cheap_to_read(found.undefined):
        return
    wrong = int(to_numpy(count(found.undefined)))
    if wrong:
        raise NonFiniteError(
            f"expected scores that are numbers, got NaN for {wrong} of {counted(count_examples(found), 'example')}; "
            "nnx.layer_outputs(model, x) shows in which layer it begins"
        )


def _check_range(what: str, index: Array, classes: int) -> None:
    xp = namespace(index)
    least, most = int(to_numpy(xp.min(index))), int(to_numpy(xp.max(index)))
    if least < 0 or most >= classes:
        wrong = least if least < 0 else most
        raise ArgumentError(f"{what}: expected classes from 0 to {classes - 1}, got {wrong}")
