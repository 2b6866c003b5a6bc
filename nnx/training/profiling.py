"""Where the time of a model goes, layer by layer: forward, backward, and how near it is to that of its products."""

import math
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nnx.autodiff import Primitive, TracedArray
from nnx.autodiff.counting import FlopCounter
from nnx.autodiff.library import LibraryFunction
from nnx.autodiff.metering import MeteredTape, Seen
from nnx.autodiff.views import VIEWS
from nnx.backend import device_kind, device_of, dtype_name, is_array, is_floating, library_name, namespace, waiting_for
from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer
from nnx.kernels import choose
from nnx.layers import Module
from nnx.layers.inspection import shown_modules, sizes_of_parameters, watched, with_inner
from nnx.layers.plan import usable_plan
from nnx.training.profile_table import as_table
from nnx.tree import tree_leaves, tree_map
from nnx.types import Array

_LONG = 0.01
"""Seconds of a product after which no larger one is tried."""


class Profile:
    """What :func:`nnx.profile` found; its text is a table.

    Attributes
    ----------
    rows : list of dict
        The model itself, under the path ``""``, and then each layer below it. What stands for a container includes all
        that is inside it, but for ``own``, ``calls`` and ``kernels``:

        ``path``, ``layer``, ``depth``
            The dotted path, the name of the class, and in how many containers it is.
        ``forward``, ``backward``, ``own``
            Seconds; ``own`` is both together without the layers inside. These of all rows sum up to the ``total``.
        ``share``
            Of forward and backward in the total.
        ``flops``
            Of a forward pass: two for each multiply-add of matrix products, convolutions, attention and recurrent
            layers, see :meth:`nnx.Module.summary`; where a layer has none of them, one for each element that its
            functions return.
        ``floor``
            The seconds that its products, forward and backward, would take at the speed of one large matrix product.
        ``output_bytes``, ``parameter_bytes``
            Of what it returned in all its calls, and of the parameters in it.
        ``calls``
            How often it was called.
        ``kernels``
            For each function, by name, which body ran: as :func:`nnx.kernels.explain` says, or for a function of the
            array library the name of the library.
    total : float
        The seconds of a forward and a backward pass.
    """

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.total: float = rows[0]["forward"] + rows[0]["backward"]

    def __str__(self) -> str:
        return as_table(self.rows)

    __repr__ = __str__


def profile(model: Module, *inputs: Any, repeats: int = 7) -> Profile:
    """Measure a forward and a backward pass of a model, layer by layer.

    The model is as before afterwards: the passes are made by copies that have their own buffers. They are in the mode
    of the model, as a rule that of training, and the gradients are those of its trainable parameters alone.

    Parameters
    ----------
    model : Module
    *inputs : arrays, or trees of them
        What it is called with.
    repeats : int
        How many passes; the time of a layer is the median.

    Returns
    -------
    Profile
        Print it, or take its ``rows``.

    Raises
    ------
    ArgumentError
        If the model is no module, no input is an array, or an input is traced.
    UsageError
        If a layer has open sizes; call :meth:`nnx.Module.settle` first.

    Notes
    -----
    Times are those of the wall clock, with the work around the computation, which is most of it where arrays are small.
    On a device with a queue each function is waited for, and so is what would otherwise overlap.

    What is computed in a function of :func:`nnx.remat` is its own in the backward pass. ``floor`` is the time of the
    same number of operations in a product of square matrices of the model's dtype, on the device of the input: for
    small products no library reaches it.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Model([nnx.Linear(784, 50), nnx.ReLU(), nnx.Linear(50, 10)])
    >>> found = nnx.profile(model, np.ones((100, 784), np.float32))
    >>> [(row["path"], row["layer"], row["flops"]) for row in found.rows[1:]]
    [('0', 'Linear', 7840000), ('1', 'ReLU', 5000), ('2', 'Linear', 100000)]
    >>> print(str(found).splitlines()[0].split())
    ['layer', 'forward', 'backward', 'share', 'floor', 'FLOPs', 'output', 'parameters', 'kernels']
    """
    like = _checked(model, inputs)
    repeats = as_integer(repeats, "repeats", 1)
    usable_plan(model)
    wait = waiting_for(like)
    counts = _Counts(model, inputs)
    _run(model, inputs, time.perf_counter)  # fills caches
    runs = [_run(model, inputs, time.perf_counter, wait=wait) for _ in range(repeats)]
    rate = _rate(model, like, wait) if any(counts.products.values()) else math.inf
    times = {
        path: (_median(run.forward[path] for run in runs), _median(run.backward[path] for run in runs))
        for path, _ in model.named_modules()
    }
    return Profile(_rows(model, times, counts, rate))


class _Look(NamedTuple):
    """What is looked at in a run that is not timed, forward only: each operation, and each return of a module."""

    seen: Seen
    returned: Callable[[str, Any], Any]


def _run(
    model: Module,
    inputs: Sequence[Any],
    meter: Callable[[], float],
    *,
    wait: Callable[[Any], Any] | None = None,
    look: _Look | None = None,
    around: Callable[[Any], Any] = lambda array: array,
) -> MeteredTape:
    """Run a copy of a model on a metered tape, whose arrays ``around`` may trace further out."""
    tape = MeteredTape(meter, wait, None if look is None else look.seen)
    # The gradient of the input is wanted in a layer that has no parameters to train, and nowhere else; a look takes
    # notice only of what is on the tape.
    has_inputs = look is not None or not model.trainable_parameters()

    def leaf(array: Any, is_wanted: bool) -> Any:
        if not is_array(array) or not is_floating(array):
            return array
        return tape.trace(around(array)) if is_wanted else around(array)

    def watch(path: str, call: Callable[[], Any]) -> Any:
        output = tape.run_for(path, call)
        if look is not None:
            look.returned(path, output)
        return output

    copy = watched(model, watch, lambda array, is_frozen: leaf(array, not is_frozen))
    args = [tree_map(lambda array: leaf(array, has_inputs), given) for given in inputs]
    tape.start()
    output = copy(*args)
    reached = {part.entry: part for part in tree_leaves(output) if type(part) is TracedArray and part.trace is tape}
    tape.go_back([(slot, around(_ones_like(part.untraced))) for slot, part in reached.items()] if look is None else [])
    return tape


class _Counts:
    """What does not depend on time, by path, without the layers inside.

    Attributes
    ----------
    flops, products : dict from path to int
        Operations forward, and those of products forward and backward.
    calls, bytes : dict from path to int
    kernels : dict from path to dict
        For each function its body.
    """

    def __init__(self, model: Any, inputs: Sequence[Any]) -> None:
        self.calls: dict[str, int] = defaultdict(int)
        self.bytes: dict[str, int] = defaultdict(int)
        self.kernels: dict[str, dict[str, str]] = defaultdict(dict)
        elements: dict[str, int] = defaultdict(int)

        def seen(
            path: str, primitive: Primitive[..., Any], wanted: Any, values: Any, options: Any, output: Any
        ) -> None:
            if primitive.name not in VIEWS:
                parts = output if isinstance(output, list) else [output]
                elements[path] += sum(math.prod(part.shape) for part in parts)
                self.kernels[path][primitive.name] = _body(primitive, wanted, values, options)

        def returned(path: str, output: Any) -> None:
            self.calls[path] += 1
            self.bytes[path] += sum(_bytes(array) for array in tree_leaves(output) if is_array(array))

        _run(model, inputs, lambda: 0.0, look=_Look(seen, returned))
        counter = FlopCounter()
        tape = _run(model, inputs, lambda: counter.flops, around=counter.trace)
        paths = [path for path, _ in model.named_modules()]
        self.products = {path: int(tape.forward[path] + tape.backward[path]) for path in paths}
        self.flops = {path: int(tape.forward[path]) or elements[path] for path in paths}


def _body(primitive: Primitive[..., Any], wanted: Any, values: Sequence[Any], options: dict[str, Any]) -> str:
    if isinstance(primitive, LibraryFunction):
        array = next((value for value in values if is_array(value)), None)
        return "portable" if array is None else library_name(namespace(array))
    return choose(primitive, wanted, values if primitive.may_have_kernels else (), options).chosen


def _rows(model: Any, times: Mapping[str, tuple[float, float]], counts: _Counts, rate: float) -> list[dict[str, Any]]:
    parameters = sizes_of_parameters(model, _bytes)
    forward = with_inner({path: pair[0] for path, pair in times.items()})
    backward = with_inner({path: pair[1] for path, pair in times.items()})
    flops, products = with_inner(counts.flops), with_inner(counts.products)
    total = forward[""] + backward[""]
    shown = shown_modules(model)
    return [
        {
            "path": path,
            "layer": type(module).__name__,
            "depth": depth,
            "calls": counts.calls[path],
            "forward": forward[path],
            "backward": backward[path],
            "own": sum(times[path]),
            "share": (forward[path] + backward[path]) / total,
            "flops": flops[path],
            "floor": products[path] / rate,
            "output_bytes": counts.bytes[path],
            "parameter_bytes": parameters[path],
            "kernels": dict(counts.kernels[path]),
        }
        for path, module, depth in (shown if shown[0][1] is model else [("", model, 0), *shown])
    ]


def _checked(model: Any, inputs: Sequence[Any]) -> Array:
    """Return an array of the inputs, after checks of the arguments."""
    if not isinstance(model, Module):
        raise ArgumentError(f"expected a module, got {type(model).__name__}")
    arrays = [leaf for given in inputs for leaf in tree_leaves(given) if is_array(leaf)]
    if not arrays:
        raise ArgumentError(
            f"expected the inputs of {type(model).__name__}, as in nnx.profile(model, x), got no array; measure with "
            "arrays like those that it will be trained on"
        )
    if TracedArray in map(type, arrays) or model._is_copy:
        raise ArgumentError(
            "expected plain arrays, got traced ones; call nnx.profile outside of what is differentiated"
        )
    return arrays[0]


def _rate(model: Module, like: Array, wait: Callable[[Any], Any] | None) -> float:
    """Return how many operations a second a large matrix product of the model's dtype does."""
    parameter = next((array for array in model.parameters().values() if is_floating(array)), like)
    xp, best, taken = namespace(like), 0.0, 0.0
    for size in (64, 128, 256, 512, *([1024, 2048, 4096] if device_kind(like) != "cpu" else [])):
        if taken > _LONG:  # of a library whose products are loops
            break
        x = xp.ones((size, size), dtype=parameter.dtype, device=device_of(like))
        for _ in range(5):
            start = time.perf_counter()
            product = xp.matmul(x, x)
            if wait is not None:
                wait(product)
            taken = time.perf_counter() - start
            best = max(best, 2 * size**3 / taken)
    return best


def _median(numbers: Iterable[float]) -> float:
    return statistics.median(numbers)


def _ones_like(array: Array) -> Array:
    return namespace(array).ones_like(array)


def _bytes(array: Array) -> int:
    bits = re.search(r"\d+", dtype_name(array.dtype))  # none in "bool"
    return math.prod(array.shape) * (int(bits.group()) // 8 if bits else 1)
