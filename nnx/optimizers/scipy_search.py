"""SciPy's minimizers over a tree of parameters."""

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff import hvp, value_and_grad
from nnx.backend import asarray, dtype_name, is_array, is_finite, namespace, to_numpy
from nnx.errors import ArgumentError, DTypeError, MissingExtraError, NonFiniteError
from nnx.layers import Module
from nnx.tree import Rebuild, tree_flatten, tree_split
from nnx.types import Array, Tree

_WITH_HESSIAN_PRODUCTS = frozenset({"newton-cg", "trust-krylov", "trust-ncg"})


def minimize(
    function: Callable[[Any], Any], start: Tree, *, method: str = "L-BFGS-B", **options: Any
) -> tuple[Any, Any]:
    r"""Find :math:`\arg\min_\theta f(\theta)` with :func:`scipy.optimize.minimize` and the gradient of nnx.

    Parameters
    ----------
    function : callable
        Takes a tree like ``start``; returns one floating-point number, an array of shape ``()``. It must be
        deterministic: switch dropout off, and use all data in one batch.
    start : array, module or tree of them
        Where to start: real floating-point arrays of any library and device. SciPy works with float64 vectors on the
        host; the function gets arrays of the library, device, dtype and shape of these.
    method : str
        A method of SciPy. For one that uses no derivative SciPy warns; ``"Newton-CG"``, ``"trust-ncg"`` and
        ``"trust-krylov"`` get products with the exact Hessian as well.
    **options
        Passed to SciPy: ``tol``, ``bounds``, ``constraints``, ``callback``, ``options`` (such as
        ``{"maxiter": 100}``), ... All of them work with vectors: the leaves in order, each flattened row by row.

    Returns
    -------
    found : array, module or tree
        Like ``start``. A module is updated in place and returned; a tree is a new one, in which modules are copies.
    result : scipy.optimize.OptimizeResult
        With ``fun``, ``success``, ``message``, ``nit``, ``nfev``, the vector ``x``, ...

    Raises
    ------
    MissingExtraError
        If SciPy is not installed.
    ArgumentError
        If there are no parameters.
    DTypeError
        If a parameter, or the value, is not of a real floating-point dtype.
    ShapeError
        If the value is not of shape ``()``.
    NonFiniteError
        If the value or its gradient is NaN or infinite at a point that the search tries.

    See Also
    --------
    nnx.LBFGS : Trains a model on its own device and in its own dtype, step by step, so that a run can be saved and
        resumed. Use ``minimize`` for a function of a few parameters, for bounds, constraints or another method.

    Notes
    -----
    In float32 the difference of two values has few correct digits: pass a larger ``tol``, or float64 parameters.

    Examples
    --------
    ::

        def rosenbrock(point):
            return (1.0 - point["x"]) ** 2 + 100.0 * (point["y"] - point["x"] ** 2) ** 2

        start = {"x": np.asarray(-1.2), "y": np.asarray(1.0)}
        found, result = nnx.optimizers.minimize(rosenbrock, start)  # both are 1
    """
    search = _Search(function, start)
    if method.lower() in _WITH_HESSIAN_PRODUCTS and not options.keys() & {"hess", "hessp"}:
        options["hessp"] = search.hessian_product
    result = _scipy_optimize().minimize(search.value_and_gradient, search.start, jac=True, method=method, **options)
    return search.found(result.x), result


class _Search:
    """A function of trees as the function of vectors that SciPy needs."""

    def __init__(self, function: Callable[[Any], Any], start: Tree) -> None:
        self._tree = start
        self._function = function
        self._leaves, self._rebuild = tree_split(start)
        self._rebuild_gradient: Rebuild = tree_split(start, objects_as_dicts=True)[1]
        self._value_and_grad = value_and_grad(function)
        if not self._leaves:
            raise ArgumentError("expected at least one parameter to search for, got an empty tree")
        for path, leaf in self._leaves.items():
            _check(leaf, path)
        self.start = _joined(list(self._leaves.values()))

    def value_and_gradient(self, vector: Array) -> tuple[float, Array]:
        """Return value and gradient at a vector, in float64 on the host."""
        value, gradient = self._value_and_grad(self._rebuild(self._parts(vector)))
        number, slopes = float(to_numpy(value)), tree_flatten(gradient)
        if not math.isfinite(number):
            raise NonFiniteError(f"the search came to a point where the function is {number}; {_REMEDY}")
        flat = _joined(list(slopes.values()))
        if not is_finite(flat):
            paths = ", ".join(repr(path) for path, slope in slopes.items() if not is_finite(_joined([slope])))
            where = f" for {paths}" if paths != "''" else ""
            raise NonFiniteError(f"the search came to a point where the gradient{where} is not finite; {_REMEDY}")
        return number, flat

    def hessian_product(self, vector: Array, direction: Array) -> Array:
        """Return the product of the Hessian at a vector with a direction."""
        tangent = self._rebuild_gradient(self._parts(direction))
        product = hvp(self._function, self._rebuild(self._parts(vector)), tangent)
        return _joined(list(tree_flatten(product).values()))

    def found(self, vector: Array) -> Any:
        """Return a vector in the form of the start."""
        parts = self._parts(vector)
        if isinstance(self._tree, Module):
            self._tree.replace_parameters(dict(zip(self._leaves, parts, strict=True)))
            return self._tree
        return self._rebuild(parts)

    def _parts(self, vector: Array) -> list[Array]:
        """Split a vector into arrays like the leaves. They are copies, since SciPy may write into the vector later."""
        xp = namespace(vector)
        parts, begin = [], 0
        for leaf in self._leaves.values():
            end = begin + math.prod(leaf.shape)
            part = xp.asarray(xp.reshape(vector[begin:end], tuple(leaf.shape)), copy=True)
            parts.append(asarray(part, dtype=dtype_name(leaf.dtype), like=leaf))
            begin = end
        return parts


_REMEDY = "start elsewhere, pass bounds, or let the function be finite everywhere"


def _check(leaf: Any, path: str) -> None:
    where = f"parameter {path!r}" if path else "the start"
    if not is_array(leaf):
        raise DTypeError(f"{where}: expected an array of floating-point numbers, got {type(leaf).__name__}")
    if not namespace(leaf).isdtype(leaf.dtype, "real floating"):
        raise DTypeError(f"{where}: expected a real floating-point dtype, got {dtype_name(leaf.dtype)}")


def _joined(arrays: Sequence[Array]) -> Array:
    """Return arrays of any library as one vector of float64 on the host."""
    hosts = [to_numpy(array) for array in arrays]
    xp = namespace(*hosts)
    return xp.concat([xp.reshape(xp.astype(host, xp.float64), (-1,)) for host in hosts])


def _scipy_optimize() -> Any:
    try:
        return importlib.import_module("scipy.optimize")
    except ImportError as error:
        raise MissingExtraError("minimize searches with SciPy, which is not installed: pip install scipy") from error
