"""Labels of classes: as one-hot vectors, and the weights that make up for rare classes."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnx.backend import asarray, namespace, to_numpy
from nnx.data.composing import Part, Transform
from nnx.errors import ArgumentError, DataError, DTypeError
from nnx.functional import one_hot
from nnx.functional.checks import as_integer
from nnx.types import Array, DType


@dataclass(frozen=True, repr=False)
class OneHot(Transform):
    """Turn class indices into one-hot vectors: :func:`nnx.functional.one_hot` as a transform.

    Parameters
    ----------
    classes : int
    dtype : str
        Default ``"float32"``.
    parts : int, str or tuple of them
        See :class:`Transform`; by default the last part of a batch, its target. Integers of any shape.

    Raises
    ------
    ArgumentError
        If there is no class, or an index is out of range; see :func:`nnx.functional.one_hot`.
    DTypeError
        If the part holds no integers.

    Examples
    --------
    >>> OneHot(3)((np.zeros((2, 5)), np.asarray([2, 0])))[1]
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """

    classes: int
    dtype: str = "float32"
    parts: Part | tuple[Part, ...] = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        as_integer(self.classes, "classes", 1)

    def apply(self, x: Array) -> Array:
        """Return one part as one-hot vectors."""
        return one_hot(x, self.classes, dtype=self.dtype)


def index_to_one_hot(index: Array, classes: int | None = None, dtype: DType | None = None) -> Array:
    """Return a vector for each class index, which is 1 at the index and 0 elsewhere.

    Parameters
    ----------
    index : array of integers, any shape, usually (batch,)
    classes : int, optional
        The length of the vectors. By default the largest index + 1, which is too small if the last classes do not occur
        in ``index``.
    dtype : dtype, optional
        Default float32.

    Returns
    -------
    one_hot : array, shape (..., classes)
        In the library and on the device of ``index``.

    Raises
    ------
    DTypeError
        If ``index`` does not hold integers.
    DataError
        If an index is negative or not below ``classes``, or if ``index`` is empty and ``classes`` is not given.
    ArgumentError
        If ``classes`` is not at least 1.

    Examples
    --------
    >>> index_to_one_hot(np.asarray([2, 0]), classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    xp = namespace(_expect_integers(index))
    classes = _check_classes(to_numpy(index), classes)
    columns = asarray(np.arange(classes, dtype=np.int32), like=index)
    # int32 is wide enough, as every index is below classes by now. The standard cannot compare uint64 with int32.
    same = xp.expand_dims(xp.astype(index, xp.int32), axis=-1) == columns
    return xp.astype(same, xp.float32 if dtype is None else dtype)


def class_weights(labels: Array, classes: int | None = None) -> Array:
    r"""Return weights that give each class the same share of a loss: :math:`w_k = n / (K n_k)`.

    :math:`n_k` of the :math:`n` labels are of class :math:`k`, out of :math:`K`. The mean weight of the samples is 1.

    Parameters
    ----------
    labels : array of integers, any shape
        Those of the training set.
    classes : int, optional
        By default the largest label + 1.

    Returns
    -------
    weights : array of float32, shape (classes,)
        In the library and on the device of ``labels``; such as for ``nnx.CrossEntropy(weight=...)``.

    Raises
    ------
    DTypeError
        If ``labels`` does not hold integers.
    DataError
        If a label is out of range, or a class does not occur.

    Notes
    -----
    Counted on the host. Source: G. King and L. Zeng, "Logistic Regression in Rare Events Data", Political Analysis,
    2001; it is what scikit-learn calls balanced.

    Examples
    --------
    >>> class_weights(np.asarray([0, 0, 0, 1]))
    array([0.6666667, 2.       ], dtype=float32)
    """
    index = to_numpy(_expect_integers(labels)).reshape(-1)
    counts = np.bincount(index.astype(np.int64), minlength=(classes := _check_classes(index, classes)))
    if not counts.all():
        raise DataError(
            f"expected labels of each of {classes} classes, got none of class {int(np.argmin(counts))}; "
            "a class without samples has no weight"
        )
    return asarray((index.size / (classes * counts)).astype(np.float32), like=labels)


def _expect_integers(index: Array) -> Array:
    if not namespace(index).isdtype(index.dtype, "integral"):
        raise DTypeError(f"expected class indices of an integer dtype, got {index.dtype}; cast them with xp.astype")
    return index


def _check_classes(index: Any, classes: int | None) -> int:
    # On the host: a GPU would silently wrap or drop indices that are out of range.
    if classes is None and not index.size:
        raise DataError(f"expected at least one class index, got shape {index.shape}; pass classes for an empty array")
    least, most = (int(index.min()), int(index.max())) if index.size else (0, 0)
    if classes is None:
        classes = max(most + 1, 1)
    if not isinstance(classes, (int, np.integer)) or classes < 1:
        raise ArgumentError(f"expected classes to be an integer of at least 1, got {classes!r}")
    if least < 0 or most >= classes:
        wrong = least if least < 0 else most
        raise DataError(f"expected class indices from 0 to {classes - 1}, got {wrong}; check the labels or classes")
    return int(classes)
