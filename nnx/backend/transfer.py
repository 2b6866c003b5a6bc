"""Move arrays between libraries and devices: by DLPack, or else through the host's memory."""

from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np

from nnx.backend.namespaces import is_array, library_name, namespace
from nnx.backend.registry import Backend, backend_of, find_backend
from nnx.backend.selection import get_backend, parse
from nnx.backend.small_floats import SMALL_FLOATS, host_to_torch, torch_to_host
from nnx.errors import DTypeError
from nnx.tree import tree_leaves, tree_split
from nnx.types import Array, Device, DType, Namespace, Shape, Tree


def to_device(tree: Tree, spec: str) -> Tree:
    """Move every array of a tree to a backend and device.

    Parameters
    ----------
    tree : array or tree of arrays
        Leaves that are not arrays stay as they are. A module becomes a dict of its parameters; to move the module
        itself, use ``model.to(...)``.
    spec : str
        ``"<backend>:<device>"``, such as ``"cupy:0"`` or ``"torch"``; or only a device, such as ``"cuda:1"``, to move
        each array within its library.

    Returns
    -------
    tree
        The same tree with moved arrays. Within one device they may share memory with the originals, as DLPack does; an
        array that is already there is returned as it is.

    Raises
    ------
    BackendError, DeviceError
        If the backend or device is unknown or not available.
    DTypeError
        If the target does not have the dtype.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.to_device({"x": np.ones(2)}, "numpy")
    {'x': array([1., 1.])}
    """
    backend, device_name = parse(spec)
    if backend is None and ":" not in spec and not _names_device(tree, spec):
        find_backend(spec)

    def move(value: Any) -> Any:
        if not is_array(value):
            return value
        target = backend or backend_of(value)
        return _move(value, target, target.device(device_name))

    leaves, rebuild = tree_split(tree, objects_as_dicts=True, all_arrays=True)
    return rebuild([move(leaf) for leaf in leaves.values()])


def to_numpy(tree: Tree) -> Tree:
    """Move every array of a tree to NumPy, in the host's memory; a module becomes a dict of its parameters.

    bfloat16 and the dtypes of 8 bits come with the package ml_dtypes, whose dtypes are also JAX's; their bits stay.

    Raises
    ------
    MissingExtraError
        If an array has such a dtype and ml_dtypes is not installed.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.to_numpy([np.ones(2), "kept"])
    [array([1., 1.]), 'kept']
    """
    leaves, rebuild = tree_split(tree, objects_as_dicts=True, all_arrays=True)
    return rebuild([_host(leaf) if is_array(leaf) else leaf for leaf in leaves.values()])


def asarray(data: Any, *, dtype: DType | str | None = None, like: Array | None = None) -> Array:
    """Make an array from data on the host: Python numbers and sequences, or a NumPy array.

    Parameters
    ----------
    data : NumPy array, number or nested sequence of numbers
    dtype : dtype or str, optional
        By default float32 for Python floats, else the dtype of the data.
    like : array, optional
        An array of the wanted library and device; by default those of the selected backend.

    Raises
    ------
    DTypeError
        If the target does not have the dtype, as float64 in JAX outside its 64-bit mode.
    """
    host = np.asarray(data)
    if dtype is None and not isinstance(data, (np.ndarray, np.generic)) and host.dtype == np.float64:
        host = host.astype(np.float32)
    if like is None:
        _, xp, device = get_backend()
    else:
        xp = namespace(like)
        xp, device = getattr(xp, "untraced", xp), device_of(like)
    if dtype is None:
        return _from_host(host, xp, device)
    name = dtype_name(dtype)
    if name == "bfloat16":  # NumPy has none, but torch and JAX do
        return _as_bfloat16(host, xp, device)
    return _from_host(host.astype(name, copy=False), xp, device)


def one_like(x: Array) -> Array:
    """Return 1 as an array of shape () with the dtype, library and device of ``x``."""
    if isinstance(x, np.generic):
        return x.dtype.type(1)  # numpy.ones_like of a scalar takes ten times as long
    xp = namespace(x)
    return xp.ones((), dtype=x.dtype, device=device_of(x))


def host_full(shape: Shape, value: float) -> Array:
    """Return a NumPy array of float64 filled with a value, for data that is made on the host and then moved."""
    return np.full(shape, value, np.float64)


def host_integer(value: int) -> Array:
    """Return an integer as an array of shape () on the host."""
    return np.int64(value)


def device_of(array: Array) -> Device:
    """Return the device object of an array."""
    if isinstance(array, (np.ndarray, np.generic)):
        return "cpu"  # as array_api_compat.device says, which takes a microsecond
    return array_api_compat.device(array)


def dtype_name(dtype: DType | str) -> str:
    """Return the standard's name of a dtype of any library, such as ``"float32"``.

    Examples
    --------
    >>> import numpy as np
    >>> dtype_name(np.dtype("float32")), dtype_name(np.float64), dtype_name("int8")
    ('float32', 'float64', 'int8')
    """
    if isinstance(dtype, (type, np.dtype)):
        return _name_in_numpy(dtype)
    return str(dtype).rpartition(".")[2]


@lru_cache(maxsize=64)  # NumPy puts the name together in each call, which takes longer than to add two numbers
def _name_in_numpy(dtype: Any) -> str:
    return str(np.dtype(dtype))


def _names_device(tree: Tree, name: str) -> bool:
    return any(name in backend_of(leaf).devices() for leaf in tree_leaves(tree) if is_array(leaf))


def _move(array: Array, target: Backend, device: Device) -> Array:
    source = backend_of(array)
    if source.name == target.name:
        return array_api_compat.to_device(array, device)
    if source.name == "numpy":
        return _from_host(array, target.namespace, device)
    if target.name == "numpy":
        return _host(array)
    xp = target.namespace
    try:
        return xp.from_dlpack(array, device=device)
    except (BufferError, RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
        return _from_host(_host(array), xp, device)


def _host(array: Array) -> Array:
    # Where DLPack refuses the dtype or device, fall back on the library's own conversion, which may copy.
    match library_name(namespace(array)):
        case "numpy":
            return array
        case "cupy":
            return array.get()
        case "torch":
            plain = array.detach().cpu().resolve_conj().resolve_neg()
            name = dtype_name(array.dtype)
            return torch_to_host(plain, name) if name in SMALL_FLOATS else plain.numpy()
        case _:
            try:
                return np.from_dlpack(array)
            except (BufferError, RuntimeError, TypeError, ValueError, AttributeError):
                return np.asarray(array)


def _small_float_from_host(host: Any, xp: Namespace, device: Device) -> Array:
    if not hasattr(xp, host.dtype.name):
        raise missing_dtype(xp, host.dtype.name)
    if library_name(xp) == "torch":
        return host_to_torch(host).to(device)
    return xp.asarray(host, device=device)


def _as_bfloat16(host: Any, xp: Namespace, device: Device) -> Array:
    target = getattr(xp, "bfloat16", None)
    if target is None:
        raise missing_dtype(xp, "bfloat16")
    return xp.astype(_from_host(host.astype(np.float32), xp, device), target)


def missing_dtype(xp: Namespace, name: str) -> DTypeError:
    """Return the error for a dtype of 8 or 16 bits that a library does not have: the standard names none."""
    libraries = "NumPy, CuPy, torch and JAX" if name == "float16" else "torch and JAX"
    return DTypeError(
        f"{library_name(xp)} has no {name}, which {libraries} have; choose a dtype that it has, such as float32"
    )


def _from_host(host: Any, xp: Namespace, device: Device) -> Array:
    if library_name(xp) == "numpy":
        return host
    if not host.flags.writeable or not host.flags.c_contiguous:
        host = host.copy()  # torch can neither share read-only memory nor represent negative strides
    if host.dtype.name in SMALL_FLOATS:
        moved = _small_float_from_host(host, xp, device)
    else:
        moved = xp.asarray(host, device=device)
    if dtype_name(moved.dtype) != host.dtype.name:
        raise DTypeError(
            f"{library_name(xp)} on device {device} gave {dtype_name(moved.dtype)} for {host.dtype.name}; "
            "choose a dtype that it has, or switch its 64-bit mode on"
        )
    return moved
