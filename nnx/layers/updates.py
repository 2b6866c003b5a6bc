"""Update the parameters of a model by a rule: either all gradients fit, or nothing is changed."""

from collections.abc import Collection, Mapping, Sequence
from itertools import repeat, starmap
from operator import getitem
from typing import Any, NoReturn

from nnx.backend import device_of, dtype_name, is_array, library_name, namespace, renewed
from nnx.backend.blocks import Rule, State, apply_in_place, apply_rule
from nnx.backend.links import OWNERS
from nnx.backend.ownership import Slot, writable
from nnx.errors import ArgumentError, BackendError, DeviceError, DTypeError, NnxError, ShapeError, UsageError
from nnx.layers.node import RUNNING, STAMP
from nnx.layers.plan import Plan, usable_plan
from nnx.types import Array


def fitted(
    model: Any,
    gradients: Mapping[str, Array],
    state: State,
    paths_of_state: Sequence[str] = (),
    shapes_of_state: Sequence[tuple[int, ...]] = (),
) -> tuple[list[Slot], list[Array]]:
    """Return the slots of the parameters, and the gradients in the same order: what :func:`write_update` takes.

    Parameters
    ----------
    model : Module
    gradients : mapping from dotted path to array
        One for each parameter.
    state : dict of lists
    paths_of_state, shapes_of_state : sequences
        The paths and shapes of the parameters that the state was made for.

    Raises
    ------
    ArgumentError
        If ``gradients`` does not have exactly one gradient for each parameter, by dotted path.
    ShapeError, DTypeError, BackendError, DeviceError
        If a gradient does not fit its parameter. The message has the path.
    UsageError
        If the state is on another device than the parameters, or belongs to other parameters.
    """
    if model._is_copy or RUNNING.models is not None:
        model._refuse_change("update")
    plan: Plan | None = model._plan
    if plan is None or plan.values is not STAMP.values or plan.watched:  # the test in usable_plan, without a call
        plan = usable_plan(model)
    paths, modules = plan.paths, (model, *plan.below)
    if not isinstance(gradients, Mapping) or len(gradients) != len(paths):
        _refuse_paths(gradients, paths)
    slots: list[Slot] = []
    ordered = []
    for path, i, name in plan.trained:
        members = modules[i].__dict__
        slots.append((members, name))
        gradient: Any = gradients.get(path)
        parameter: Any = members[name]
        if type(gradient) is not type(parameter) or (
            gradient.shape != parameter.shape
            or (gradient.dtype is not parameter.dtype and gradient.dtype != parameter.dtype)
            or (type(gradient).__module__ != "numpy" and device_of(gradient) != device_of(parameter))
        ):
            if gradients.keys() != set(paths):
                _refuse_paths(gradients, paths)
            _expect_like(gradient, parameter, f"the gradient of {path!r}")
        ordered.append(gradient)
    if state and paths_of_state != paths:
        refuse_other_paths(paths_of_state, paths)
    for path, (members, name), shape in zip(paths, slots, shapes_of_state if state else (), strict=False):
        if members[name].shape != shape:
            refuse_other_shape(path, shape, members[name])
    for name, column in state.items():
        expect_state("optimizer", name, column, slots, paths)
    return slots, ordered


def write_update(
    slots: Sequence[Slot],
    gradients: Sequence[Array],
    rule: Rule,
    hyperparameters: dict[str, Any],
    state: State,
    step: int = 0,
    *,
    is_elementwise: bool = True,
    flushed: Collection[str] = (),
) -> None:
    """Take a step with a rule, in place where nothing else refers to an array.

    Parameters
    ----------
    slots : sequence of (dict, key)
        Where the parameters are.
    gradients : sequence of arrays
        In the same order, and of the same shapes, dtypes and devices. They are not changed.
    rule : callable
        As in :class:`nnx.optimizers.Optimizer`.
    hyperparameters : dict
    state : dict of lists
        Lists by name, with one array per parameter; the new arrays replace the old ones in these lists.
    step : int
        The number of steps before this one.
    is_elementwise : bool
        Whether each element of a result of the rule depends only on the same element of its arguments.
    flushed : names of state
        Whose tiny values become 0 in every 16th step, before they are subnormal.
    """
    count, slots = len(slots), [*slots]
    for column in state.values():
        slots.extend(zip(repeat(column, count), range(count), strict=True))
    may_write = writable(slots)
    for i in range(count, len(slots)):  # in place only if the whole row is
        may_write[i % count] &= may_write[i]
    parameters = [*starmap(getitem, slots[:count])]
    if all(may_write) and apply_in_place(rule, gradients, state, parameters, step, hyperparameters, flushed):
        return
    new, new_state = apply_rule(
        rule,
        gradients,
        state,
        parameters,
        step,
        hyperparameters,
        may_write,
        is_elementwise=is_elementwise,
        flushed=flushed,
    )
    if parameters and hasattr(
        type(parameters[0]), "requires_grad"
    ):  # torch's, whose autograd may have followed the step
        new, new_state = renewed(new, parameters), {name: renewed(column) for name, column in new_state.items()}
    for (members, name), array in zip(slots, new, strict=False):
        members[name] = array
    for name, column in state.items():
        column[:] = new_state[name]


def slots_of(model: Any) -> tuple[list[str], list[Slot]]:
    """Return the paths of the trained parameters, and where they are, while the model keeps its structure."""
    plan = usable_plan(model)
    modules = (model, *plan.below)
    return [path for path, _, _ in plan.trained], [(vars(modules[i]), name) for _, i, name in plan.trained]


def ordered_gradients(model: Any, gradients: Mapping[str, Array]) -> list[Array]:
    """Return the gradients in the order of the parameters, which they must fit.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, BackendError, DeviceError
        As :func:`update_parameters`.
    """
    parameters = model.trainable_parameters()
    if not isinstance(gradients, Mapping) or gradients.keys() != parameters.keys():
        _refuse_paths(gradients, (*parameters,))
    for path, parameter in parameters.items():
        _expect_like(gradients[path], parameter, f"the gradient of {path!r}")
    return [gradients[path] for path in parameters]


def _refuse_paths(gradients: Any, paths: Sequence[str]) -> NoReturn:
    if not isinstance(gradients, Mapping):
        raise ArgumentError(
            f"expected gradients as a dict from dotted path to array, as nnx.grad(...)(model) returns, got "
            f"{type(gradients).__name__}"
        )
    missing, extra = sorted(set(paths) - gradients.keys()), sorted(gradients.keys() - set(paths))
    raise ArgumentError(
        f"expected a gradient for each parameter; missing {missing}, not in the model {extra}"
        + (", or frozen there" if extra else "")
    )


def _expect_like(gradient: Any, parameter: Array, what: str) -> None:
    """Raise an error that says how a gradient differs from its parameter, if it does."""
    if not is_array(gradient):
        raise DTypeError(f"{what}: expected an array, as the parameter, got {type(gradient).__name__}")
    error: type[NnxError]
    if namespace(gradient) is not namespace(parameter):
        error, kind = BackendError, "library"
        wanted, got = (library_name(namespace(x)) for x in (parameter, gradient))
    elif device_of(gradient) != device_of(parameter):
        error, kind, wanted, got = DeviceError, "device", str(device_of(parameter)), str(device_of(gradient))
    elif tuple(gradient.shape) != tuple(parameter.shape):
        error, kind, wanted, got = ShapeError, "shape", str(tuple(parameter.shape)), str(tuple(gradient.shape))
    elif gradient.dtype != parameter.dtype:
        error, kind, wanted, got = DTypeError, "dtype", dtype_name(parameter.dtype), dtype_name(gradient.dtype)
    else:
        return
    raise error(f"{what}: expected {kind} {wanted}, as the parameter, got {got}")


def refuse_other_model(model: Any, gradients: Any, optimizer: str) -> None:
    """Raise UsageError if gradients are of a model that has no module in common with that of an optimizer."""
    owner = OWNERS.get(next(iter(gradients.values()), None)) if isinstance(gradients, dict) else None
    other = None if owner is None else owner()
    if other is None or other is model:
        return
    ours, theirs = ({id(module) for _, module in each.named_modules()} for each in (model, other))
    if not ours & theirs:
        raise UsageError(
            f"these are the gradients of another {type(other).__name__} than the {type(model).__name__} that this "
            f"{optimizer} was made for; make an optimizer for each model"
        )


def refuse_other_paths(
    had: Sequence[str], paths: Sequence[str], what: str = "trainable parameters", owner: str = "optimizer"
) -> NoReturn:
    """Raise UsageError: the state of an optimizer, or of an average, is for other parameters than the model has."""
    gone, new = [path for path in had if path not in paths], [path for path in paths if path not in had]
    raise UsageError(
        f"the model's {what} have changed since this {owner} was made: gone {gone}, new {new}; make a new {owner}"
    )


def refuse_other_shape(path: str, shape: tuple[int, ...], parameter: Array, owner: str = "optimizer") -> NoReturn:
    """Raise UsageError: a parameter has another shape than when the state of an optimizer or an average was made."""
    raise UsageError(
        f"the {owner} was made for a {path!r} of shape {shape}, and it has {tuple(parameter.shape)} now; make a new "
        f"{owner} when the parameters of a model have changed"
    )


def expect_state(owner: str, name: str, column: Sequence[Array], slots: Sequence[Slot], paths: Sequence[str]) -> None:
    """Raise UsageError if the state of an optimizer, or of an average, is not where the parameters are."""
    for path, (members, key), array in zip(paths, slots, column, strict=False):
        parameter = members[key]
        if namespace(array) is not namespace(parameter) or device_of(array) != device_of(parameter):
            raise UsageError(
                f"the {owner} keeps {name!r} of {path!r} on another device than the parameter, as after "
                f"model.to(...) alone; move it too, with {owner}.to(...)"
            )
