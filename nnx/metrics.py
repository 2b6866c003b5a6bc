"""How good a classifier's predictions are."""

from nnx.backend import asarray, dtype_name, is_floating, namespace, to_numpy
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import as_class_indices
from nnx.types import Array


def accuracy(output: Array, target: Array) -> Array:
    r"""Return the fraction of examples whose largest output is that of the target's class.

    .. math:: \frac{1}{n} \sum_i [\operatorname{argmax}_k x_{ik} = t_i]

    Parameters
    ----------
    output : array, shape (batch, classes, ...)
        Scores of any kind, such as logits or probabilities. At a tie the lowest class counts as predicted.
    target : array
        Integer dtype: class indices, shape (batch, ...). Floating-point dtype: one-hot vectors, the shape of
        ``output``.

    Returns
    -------
    accuracy : array, shape ()
        In [0, 1], of the dtype of ``output``; it is not read from the device.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no example.
    DTypeError
        If ``output`` holds integers, or the target is an integer one-hot array or holds booleans.

    Examples
    --------
    >>> import numpy as np
    >>> output = np.asarray([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7]])
    >>> float(accuracy(output, np.asarray([1, 0, 0, 0])))
    0.75
    """
    xp = namespace(output, target)
    return xp.mean(xp.astype(_is_correct(output, target), output.dtype))


def count_correct(output: Array, target: Array) -> Array:
    """Return how many examples :func:`accuracy` would count as correct: an integer array of shape ()."""
    xp = namespace(output, target)
    return xp.sum(xp.astype(_is_correct(output, target), xp.int32))


def confusion_matrix(output: Array, target: Array, classes: int | None = None) -> Array:
    """Count for each class of the target which class was predicted.

    The matrices of several batches add up to that of all their examples.

    Parameters
    ----------
    output : array, shape (batch, classes)
        Scores, as in :func:`accuracy`.
    target : array, shape (batch,) or (batch, classes)
        Class indices, or one-hot vectors.
    classes : int, optional
        Rows and columns of the result; default the number of outputs.

    Returns
    -------
    matrix : array of int32, shape (classes, classes)
        ``matrix[i, j]`` examples of class ``i`` were taken for class ``j``. On the device of ``output``.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no example.
    DTypeError
        As in :func:`accuracy`.
    ArgumentError
        If a class is out of range; to see that, the largest and smallest are read from the device.

    Examples
    --------
    >>> import numpy as np
    >>> output = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> confusion_matrix(output, np.asarray([0, 1, 1]))
    array([[1, 0],
           [1, 1]], dtype=int32)
    """
    xp = namespace(output, target)
    predicted, true = _classes_of(output, target)
    if output.ndim != 2:
        raise ShapeError(f"expected output of shape (batch, classes), got {tuple(output.shape)}")
    classes = output.shape[1] if classes is None else classes
    for what, index in (("target", true), ("output", predicted)):
        _check_range(what, index, classes)
    columns = asarray(list(range(classes)), dtype="int32", like=output)
    # A product of float matrices, since GPU libraries have none for integers; exact for fewer than 2**24 examples.
    rows_hot, columns_hot = (
        xp.astype(xp.expand_dims(xp.astype(index, xp.int32), axis=1) == columns, xp.float32)
        for index in (true, predicted)
    )
    return xp.astype(xp.matmul(xp.matrix_transpose(rows_hot), columns_hot), xp.int32)


def _is_correct(output: Array, target: Array) -> Array:
    predicted, true = _classes_of(output, target)
    return predicted == true


def _classes_of(output: Array, target: Array) -> tuple[Array, Array]:
    """Return the predicted and the true class of each example, both of shape (batch, ...)."""
    xp = namespace(output, target)
    shape = tuple(output.shape)
    if output.ndim < 2 or 0 in shape:
        raise ShapeError(f"expected output of shape (batch, classes, ...) with at least one example, got {shape}")
    if not is_floating(output):
        raise DTypeError(
            f"expected scores of a floating-point dtype, got {dtype_name(output.dtype)}; "
            "pass the model's output, not its argmax"
        )
    indices = (shape[0], *shape[2:])
    if tuple(target.shape) == shape and is_floating(target):
        return xp.argmax(output, axis=1), xp.argmax(target, axis=1)
    if tuple(target.shape) == indices and not is_floating(target):
        return xp.argmax(output, axis=1), as_class_indices(target)
    got = f"{dtype_name(target.dtype)} of shape {tuple(target.shape)}"
    message = f"expected a target of integer class indices of shape {indices} or of floating-point one-hot vectors "
    kind = DTypeError if tuple(target.shape) in (shape, indices) else ShapeError
    raise kind(f"{message}of shape {shape}, got {got}")


def _check_range(what: str, index: Array, classes: int) -> None:
    xp = namespace(index)
    least, most = int(to_numpy(xp.min(index))), int(to_numpy(xp.max(index)))
    if least < 0 or most >= classes:
        wrong = least if least < 0 else most
        raise ArgumentError(f"{what}: expected classes from 0 to {classes - 1}, got {wrong}")
