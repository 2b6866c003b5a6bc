"""Precision, recall and F1: how often a class is predicted and right, over many batches."""

from typing import Any, ClassVar

from nnx.backend import is_cheap_to_read, namespace, scatter_add, to_numpy, widest_dtype
from nnx.errors import ArgumentError
from nnx.functional.checks import counted, expect_choice
from nnx.metrics.base import Metric
from nnx.metrics.of_one_batch import count_examples
from nnx.metrics.predictions import compare
from nnx.types import Array


class _PerClass(Metric):
    """A quotient for each class, of sums that are kept for each class, and its averages."""

    sums: ClassVar[tuple[str, ...]] = ("hits", "predicted", "true", "examples")

    def __init__(self, average: str = "macro", *, ignore_index: int = -100) -> None:
        super().__init__()
        expect_choice(average, ("macro", "micro", "none"), "average")
        self.average = average
        self.ignore_index = ignore_index

    def measure(self, output: Array, target: Array) -> dict[str, Any]:
        """Count for each class, among outputs (batch, classes, ...) and targets as in :func:`accuracy`.

        The last of each vector counts the examples that cannot be counted.
        """
        found = compare(output, target, self.ignore_index)
        xp, classes = namespace(output), output.shape[1]
        true, predicted = found.true, xp.astype(found.predicted, found.true.dtype)
        is_known = xp.logical_and(xp.logical_and(true >= 0, true < classes), xp.logical_not(found.undefined))
        is_hit = xp.logical_and(is_known, true == predicted)
        sums = {"hits": (is_hit, true), "predicted": (is_known, predicted), "true": (is_known, true)}
        counts = {
            name: _count(xp.where(mask, index, classes), classes, found.ignored) for name, (mask, index) in sums.items()
        }
        return {**counts, "examples": count_examples(found)}

    def result(self, hits: Array, predicted: Array, true: Array, examples: int) -> Array:
        """Return the quotient for each class, or its average."""
        xp, lost = namespace(hits, true), true[-1]
        if is_cheap_to_read(lost) and int(to_numpy(lost)):
            raise ArgumentError(
                f"expected true classes from 0 to {true.shape[0] - 2} and scores that are numbers, got another class "
                f"or NaN for {int(to_numpy(lost))} of {counted(examples, 'example')}"
            )
        top, bottom = self._quotient(hits[:-1], predicted[:-1], true[:-1])
        if self.average == "micro":
            top, bottom = xp.sum(top), xp.sum(bottom)
        dtype = widest_dtype(hits, "real floating")
        found = xp.astype(top, dtype) / xp.astype(xp.where(bottom == 0, 1, bottom), dtype)
        found = xp.mean(found) if self.average == "macro" else found
        return xp.where(lost > 0, xp.full_like(found, float("nan")), found)

    def _quotient(self, hits: Array, predicted: Array, true: Array) -> tuple[Array, Array]:
        raise NotImplementedError


class Precision(_PerClass):
    r"""Of the examples predicted as a class, the fraction that belong to it: :math:`p_k = h_k / n_k`.

    Here :math:`h_k` is the number of examples of class :math:`k` predicted as :math:`k`, and :math:`n_k` the number of
    those predicted as :math:`k`. As in :class:`Accuracy`, the largest output wins, and at a tie the lowest class.

    Parameters
    ----------
    average : {"macro", "micro", "none"}
        ``"macro"``, the default, is the mean over the classes; ``"micro"`` divides the sums over the classes, which
        gives the accuracy; ``"none"`` returns an array with the value of each class.
    ignore_index : int
        Examples with this class index are not counted.

    Raises
    ------
    ArgumentError
        If ``average`` is something else; from ``compute``, if a target is out of range or an output NaN. Where reading
        that would wait for a device, the result is NaN instead.

    Notes
    -----
    A class that is never predicted has precision 0, and counts as one of the classes in the mean. All outputs of the
    model are classes, whether they occur or not.

    Examples
    --------
    >>> import numpy as np
    >>> metric = Precision()
    >>> metric.update(np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.asarray([0, 1, 1]))
    >>> float(metric.compute())
    0.75
    """

    def _quotient(self, hits: Array, predicted: Array, true: Array) -> tuple[Array, Array]:
        return hits, predicted


class Recall(_PerClass):
    r"""Of the examples of a class, the fraction predicted as it: :math:`r_k = h_k / m_k`.

    Here :math:`h_k` is the number of examples of class :math:`k` predicted as :math:`k`, and :math:`m_k` the number of
    those of class :math:`k`; a class without examples has recall 0. Parameters, averages and errors are those of
    :class:`Precision`.

    Examples
    --------
    >>> import numpy as np
    >>> metric = Recall(average="none")
    >>> metric.update(np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.asarray([0, 1, 1]))
    >>> metric.compute()
    array([1. , 0.5])
    """

    def _quotient(self, hits: Array, predicted: Array, true: Array) -> tuple[Array, Array]:
        return hits, true


class F1(_PerClass):
    r"""The harmonic mean of precision and recall: :math:`2 h_k / (n_k + m_k)`.

    :math:`h_k`, :math:`n_k` and :math:`m_k` are those of :class:`Precision` and :class:`Recall`; a class that is
    neither predicted nor true has 0. ``"macro"`` is the mean of the classes' values. Parameters, averages and errors
    are those of :class:`Precision`.

    Examples
    --------
    >>> import numpy as np
    >>> metric = F1(average="none")
    >>> metric.update(np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.asarray([0, 1, 1]))
    >>> metric.compute().round(4)
    array([0.6667, 0.6667])
    """

    def _quotient(self, hits: Array, predicted: Array, true: Array) -> tuple[Array, Array]:
        return 2 * hits, predicted + true


def _count(index: Array, classes: int, ignored: Array) -> Array:
    """Return how often each index from 0 to ``classes`` occurs, where it is not ignored."""
    xp = namespace(index)
    ones = xp.astype(xp.reshape(~ignored, (-1,)), xp.int32)
    return scatter_add(ones, (classes + 1,), xp.reshape(index, (-1,)))
