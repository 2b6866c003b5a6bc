"""Say where in a model an error occurred: a dotted path, assembled as the error leaves the modules."""

from typing import Any

from nnx.backend import device_of, is_array, library_name, namespace
from nnx.errors import BackendError, DeviceError, DTypeError, NnxError
from nnx.functional.checks import expect_array
from nnx.layers.plan import walk

_MARK = "__nnx_module__"  # holds the id of a module, not the module: errors of worker processes are pickled


def locate(error: Exception, module: Any, args: tuple[Any, ...] = ()) -> None:
    """Add a module that an error passes to the path of the error.

    An :class:`NnxError` has the path in its message; any other exception has it in a note. If the arrays at hand are on
    different devices, the error says so instead.

    Raises
    ------
    BackendError, DeviceError
        Instead of an exception of the array library, if arrays of different libraries or devices met.
    DTypeError
        Instead of an AttributeError, if an argument is no array.
    """
    # The mark names the module that the error passed last. The path from this one to it comes in front of the path so
    # far; a second call for the same module adds nothing.
    inner = getattr(error, _MARK, None)
    if inner is None and not isinstance(error, NnxError):
        mismatch = _not_an_array(error, args) or _mismatch(module, args)
        if mismatch is not None:
            mismatch.layer = type(module).__name__
            setattr(mismatch, _MARK, id(module))
            raise mismatch from error
    layer, path = getattr(error, "layer", None) or type(module).__name__, getattr(error, "module_path", ())
    if inner is not None and inner != id(module):
        names = [name for name, child in walk(module) if id(child) == inner]
        path = (*names, *path)
    setattr(error, _MARK, id(module))
    error.layer, error.module_path = layer, path  # type: ignore[attr-defined]
    if not isinstance(error, NnxError):
        notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith("in the module ")]
        error.__notes__ = [
            *notes,
            f"in the module {layer} '{'.'.join(path)}'" if path else f"in the module {layer}",
        ]


def _not_an_array(error: Exception, args: tuple[Any, ...]) -> DTypeError | None:
    if isinstance(error, AttributeError) and error.name in ("ndim", "shape") and any(error.obj is arg for arg in args):
        try:
            expect_array(error.obj)
        except DTypeError as found:
            return found
    return None


def _mismatch(module: Any, args: tuple[Any, ...]) -> BackendError | DeviceError | None:
    parameters = [
        (f"{path}.{name}" if path else name, vars(node)[name])
        for path, node in walk(module)
        for name in node._parameter_names
    ]
    for i, arg in enumerate(args):
        for path, parameter in parameters:
            if not is_array(arg):
                continue
            ours, theirs = (library_name(namespace(array)) for array in (arg, parameter))
            if ours != theirs:
                return BackendError(
                    f"expected arrays of one library, got argument {i} of {ours} and parameter {path!r} of {theirs}; "
                    f'move one with nnx.to_device(x, "{theirs}") or model.to("{ours}")'
                )
            if device_of(arg) != device_of(parameter):
                return DeviceError(
                    f"expected all arrays on one device, got argument {i} on {device_of(arg)} and parameter {path!r} "
                    f"on {device_of(parameter)}; move one with nnx.to_device(x, ...) or model.to(...)"
                )
    return None
