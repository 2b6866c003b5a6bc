"""Neural networks on any array library that follows the Python array API standard.

Arrays in, arrays of the same library out: a model called on NumPy arrays computes with NumPy, on CuPy, torch or JAX
arrays with CuPy, torch or JAX.
"""

import importlib
import importlib.util
import pkgutil
from threading import RLock
from typing import TYPE_CHECKING, Any

from nnx.backend import available_backends as available_backends
from nnx.backend import generator as generator
from nnx.backend import get_backend as get_backend
from nnx.backend import namespace as namespace
from nnx.backend import to_device as to_device
from nnx.backend import to_numpy as to_numpy
from nnx.backend import use_backend as use_backend
from nnx.backend import use_kernels as use_kernels
from nnx.version import __version__ as __version__

# ruff: noqa: F403, F405
# A subpackage is imported when one of its names is first used. This block is for type checkers only: at run time the
# subpackages' own __all__ says what they export.
if TYPE_CHECKING:
    from nnx import autodiff as autodiff
    from nnx import backend as backend
    from nnx import callbacks as callbacks
    from nnx import configuration as configuration
    from nnx import data as data
    from nnx import errors as errors
    from nnx import functional as functional
    from nnx import initializers as initializers
    from nnx import io as io
    from nnx import kernels as kernels
    from nnx import layers as layers
    from nnx import losses as losses
    from nnx import metrics as metrics
    from nnx import optimizers as optimizers
    from nnx import replay as replay
    from nnx import schedules as schedules
    from nnx import testing as testing
    from nnx import training as training
    from nnx import tree as tree
    from nnx import types as types
    from nnx.autodiff import *
    from nnx.configuration import *
    from nnx.layers import *
    from nnx.losses import *
    from nnx.optimizers import *
    from nnx.replay import compile as compile
    from nnx.training import Trainer as Trainer
    from nnx.training import profile as profile

_OPEN = ("autodiff", "layers", "losses", "optimizers", "configuration")
"""Subpackages whose names are also names of ``nnx``, in the order of their dependencies."""

_SINGLE = {"Trainer": "training", "compile": "replay", "profile": "training"}
"""Names of other subpackages that are names of ``nnx`` too."""


# What chooses among kernels stands below them and may not import them, so that they are handed to it from here.
importlib.import_module("nnx.backend.tiers").LOADERS.append(
    lambda library: importlib.import_module("nnx.kernels").load(library)
)


# Python locks each module while it is imported, and two threads that enter a subpackage by two of its modules would
# wait for each other.
_importing = RLock()


def _find(name: str) -> Any:
    """Return a subpackage, or what an open one exports under a name: the module's ``__getattr__``."""
    if name == "__all__":
        return _names()
    if not name.startswith("_"):
        with _importing:
            if importlib.util.find_spec(f"nnx.{name}"):
                return importlib.import_module(f"nnx.{name}")
            for room in (*([_SINGLE[name]] if name in _SINGLE else []), *_OPEN):
                module = importlib.import_module(f"nnx.{room}")
                if name in module.__all__:
                    value = globals()[name] = getattr(module, name)
                    return value
    raise AttributeError(f"module 'nnx' has no attribute {name!r}")


def _names() -> list[str]:
    """Return what ``nnx`` exports, for which all open subpackages are imported."""
    exported = {name for room in _OPEN for name in importlib.import_module(f"nnx.{room}").__all__}
    rooms = {module.name for module in pkgutil.iter_modules(__path__)} - {"cli", "version"}
    here = {name for name, value in globals().items() if getattr(value, "__module__", "").startswith("nnx.")}
    return sorted({"__version__"} | exported | set(_SINGLE) | rooms | here)


if not TYPE_CHECKING:  # with a __getattr__ every misspelled name would be Any to a type checker
    __getattr__, __dir__ = _find, _names
