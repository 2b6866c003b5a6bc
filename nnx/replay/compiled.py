"""``nnx.compile``: record a step once, and repeat it in a straight line."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.outside import ACTIVE
from nnx.autodiff.traced import TracedArray
from nnx.backend import library_name, namespace
from nnx.backend.engines import engine_for
from nnx.errors import ArgumentError
from nnx.layers import Module
from nnx.replay.checking import checked
from nnx.replay.discovery import state_of
from nnx.replay.jitted import Jitted
from nnx.replay.lifting import Lifted
from nnx.replay.program import Program
from nnx.replay.recorder import Recorder, Ref
from nnx.replay.signature import Arguments, Constants, mapped, signature
from nnx.types import Array

MOST_PROGRAMS = 16


class Recorded:
    """A program, with what it was made for; making it is the first call.

    Attributes
    ----------
    first
        What the first call returned; whoever returns it lets go of it here.
    run : callable
        Repeats the program with other arrays.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: Arguments, arrays: Sequence[Any], models: Sequence[Module]
    ) -> None:
        recorder = Recorder()
        with Lifted(recorder, models):
            variables = [recorder.variable(array) for array in arrays]
            inputs = [Ref(variable.entry) for variable in variables]  # now: += makes other variables of them
            given, named = arguments.filled(variables)
            output = function(*given, **named)
            # A constant array is copied at each repetition: the caller may write into what a function returns.
            owned = mapped(lambda x: x if type(x) is TracedArray else recorder.constant(x), output)
        self.first = recorder.plain(owned)
        self.program = Program(inputs, recorder.calls, recorder.lowered(owned))
        self.run = self._checked
        self._function, self._arguments, self._models = function, arguments, models
        self._constants = Constants(models)

    def holds(self) -> bool:
        """Return whether everything is as it was that the program has as a constant."""
        return self._constants.hold()

    def _checked(self, *arrays: Any) -> Any:
        """Repeat the program for the first time, and hold it to the function."""

        def again() -> Any:
            given, named = self._arguments.filled(arrays)
            return self._function(*given, **named)

        parts = {id(part): part for part in (*self._models, *self._arguments.objects) if _has_state(part)}
        name = getattr(self._function, "__name__", "the function")
        value = checked(lambda: self.program.run(*arrays), again, [*parts.values()], name)
        self.run = self.program.run
        return value


def _has_state(part: Any) -> bool:
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


class Compiled:
    """A function whose calls are recorded, one program for each kind of arguments; see :func:`compile`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._programs: dict[Any, Recorded | Jitted] = {}
        self._made = 0
        self._lock = threading.RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function: the first time as it is, recording it, then by the record."""
        arrays: list[Any] = []
        key = signature((*args, kwargs) if kwargs else args, arrays)
        found = self._programs.get(key)
        if found is not None and ACTIVE.recorder is None and found.holds():
            return found.run(*arrays)
        return self._first(key, args, kwargs, arrays)

    def _first(self, key: Any, args: Any, kwargs: Any, arrays: list[Any]) -> Any:
        arguments = Arguments(args, kwargs)
        arguments.objects += state_of(self._function)
        models = models_in(arguments.objects)
        # Whoever traces the call sees all that it does; copies of models are made by transforms.
        is_traced = ACTIVE.recorder is not None or TracedArray in map(type, arrays) or any(m._is_copy for m in models)
        if is_traced or any(model.plan().unsettled for model in models):
            return self._function(*args, **kwargs)
        engine = engine_for(library_of(arrays, models))
        with self._lock:
            self._count()
            while len(self._programs) >= MOST_PROGRAMS:
                del self._programs[next(iter(self._programs))]
            if engine is None:
                made = self._programs[key] = Recorded(self._function, arguments, arrays, models)
                value, made.first = made.first, None
                return value
            jitted = self._programs[key] = Jitted(self._function, engine, arguments, models)
            return jitted.run(*arrays)

    def _count(self) -> None:
        """Warn, once, if programs are made again and again, each of which takes longer than a plain call."""
        self._made += 1
        if self._made == MOST_PROGRAMS + 1:
            name = getattr(self._function, "__name__", "the function")
            warnings.warn(
                f"nnx.compile has recorded {name} {self._made} times: for each shape and dtype of its arrays, each "
                "number and string among its arguments, and whenever an attribute of a model has changed; give it "
                "batches of few shapes, and what changes from call to call as an array",
                RuntimeWarning,
                stacklevel=4,
            )


def models_in(parts: Sequence[Any]) -> list[Module]:
    """Return the models among arguments, and those of optimizers among them, each once."""
    found = {id(part): part for part in (*parts, *(getattr(part, "model", None) for part in parts))}
    return [part for part in found.values() if isinstance(part, Module)]


def library_of(arrays: Sequence[Array], models: Sequence[Module]) -> str:
    """Return the name of the library of the arguments, or of the parameters if there is no array among them."""
    parameters = (next(iter(model.parameters().values()), None) for model in models)
    first = next((array for array in (*arrays, *parameters) if array is not None), None)
    return "" if first is None else library_name(namespace(first))


def compile(function: Callable[..., Any]) -> Compiled:
    """Return a function that records the calls on arrays once, and then repeats them without the work around them.

    For small networks most of the time of a step is spent around the arithmetic: on the graph, on choosing kernels, on
    copies of modules. A repetition makes the same calls on arrays in a straight line, so it gives the same bits.

    Parameters
    ----------
    function : callable
        Such as a step of training. Modules and optimizers among its arguments, or that it or a function of the same
        file that it calls names, are its state, which each call reads and changes; what else it uses from outside is a
        constant. So are numbers that it reads from an optimizer, attributes of other objects, and what is inside lists,
        dicts and arrays that are attributes of a module and no parameters or buffers.

    Returns
    -------
    callable
        Takes the same arguments. One program is recorded for each kind of arguments: for types, shapes, dtypes and
        devices of arrays, for the values of numbers and strings, and for each model or other object itself. It is
        recorded anew when the model has changed: its structure, an attribute such as a probability, or its mode.

    Raises
    ------
    ArgumentError
        If ``function`` cannot be called.
    TraceError
        On a call, where a recorded array would have to become a Python number, or is given to another library.
    UsageError
        If a module with parameters or buffers is called that is not part of the state, or something is updated that
        adds up, such as a metric or :class:`nnx.EMA`. On the second call of a program, which is compared with the
        function itself, if they differ.

    Notes
    -----
    The first call is the function's own, and is recorded; the second one runs the record and then, from the same state,
    the function, and compares all bits. What else the function does in Python, such as printing, it does in these
    two calls only. JAX arrays are given to ``jax.jit`` instead, which rounds otherwise than single operations do, and
    is not compared. Under a transform, such as ``nnx.grad`` of a compiled function, the function itself is called.

    A compiled function keeps the models among its arguments alive, and its last 16 programs; it warns when it makes
    another one. No other thread may use the model during its first two calls.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(2, 1, rng=0)
    >>> optimizer = nnx.SGD(model, learning_rate=0.1)
    >>> @nnx.compile
    ... def step(model, optimizer, x, target):
    ...     loss, gradients = nnx.value_and_grad(lambda m: nnx.functional.mse(m(x), target))(model)
    ...     optimizer.step(gradients)
    ...     return loss
    >>> x, target = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    >>> losses = [float(step(model, optimizer, x, target)) for _ in range(10)]
    >>> losses[-1] < 0.01 * losses[0]
    True
    """
    if not callable(function):
        raise ArgumentError(f"expected a function to compile, got {type(function).__name__}")
    return Compiled(function)
