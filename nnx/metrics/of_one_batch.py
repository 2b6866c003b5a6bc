"""Metrics of a classifier for a single batch."""

import math

from nnx.autodiff import stop_gradient
from nnx.backend import device_of, is_cheap_to_read, namespace, scatter_add, to_numpy, widest_dtype
from nnx.errors import ArgumentError, NonFiniteError, ShapeError
from nnx.functional.checks import counted
from nnx.metrics.predictions import Predictions, compare, count
from nnx.types import Array


def accuracy(output: Array, target: Array) -> Array:
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

    Returns
    -------
    accuracy : array, shape ()
        In [0, 1], of the dtype of ``output``; it is not read from the device. NaN if an output is NaN.

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
    found = compare(output, target)
    _expect_defined(found)
    xp = namespace(output)
    correct = count(found.predicted == found.true)
    fraction = xp.astype(correct, widest_dtype(output, "real floating")) / count_examples(found)
    fraction = xp.astype(fraction, output.dtype)
    return xp.where(xp.any(found.undefined), xp.full_like(fraction, float("nan")), fraction)


def count_correct(output: Array, target: Array) -> Array:
    """Return how many examples :func:`accuracy` would count as correct: an integer array of shape ().

    An example with NaN in its output does not count as correct, or raises NonFiniteError as in :func:`accuracy`.
    """
    found = compare(stop_gradient(output), stop_gradient(target))
    _expect_defined(found)
    return count((found.predicted == found.true) & ~found.undefined)


def confusion_matrix(output: Array, target: Array, classes: int | None = None) -> Array:
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
    found = compare(output, target)
    classes = output.shape[1] if classes is None else classes
    cells = count_cells(output, found, classes)
    if int(to_numpy(cells[-1])):
        _expect_defined(found, read=True)
        for what, index in (("target", found.true), ("output", found.predicted)):
            _check_range(what, index, classes)
    return namespace(cells).reshape(cells[:-1], (classes, classes))


def count_cells(output: Array, found: Predictions, classes: int) -> Array:
    """Return the cells of a confusion matrix as a vector of int32, with one more: how many examples belong to none."""
    if output.ndim != 2:
        raise ShapeError(f"expected output of shape (batch, classes), got {tuple(output.shape)}")
    true, predicted = found.true, found.predicted
    xp, device = namespace(true, predicted), device_of(true)
    predicted = xp.astype(predicted, true.dtype)
    is_known = xp.logical_not(found.undefined)
    for index in (true, predicted):
        is_known = xp.logical_and(is_known, xp.logical_and(index >= 0, index < classes))
    cell = true * classes + predicted
    cell = xp.where(is_known, cell, xp.full_like(cell, classes * classes))
    ones = xp.ones(cell.shape, dtype=xp.int32, device=device)
    return scatter_add(ones, (classes * classes + 1,), cell)


def count_examples(found: Predictions) -> int:
    """Return how many examples were compared."""
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
