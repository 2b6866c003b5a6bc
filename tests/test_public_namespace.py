"""What ``import nnx`` gives and what it costs: names come from the rooms, and a room is imported when asked for."""

import ast
import doctest
import importlib
import inspect
import json
import pickle
import pkgutil
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import nnx

OPEN = nnx._OPEN


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh process has loaded after running some code."""
    code = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))


def test_import_loads_the_room_of_the_arrays_alone():
    found = loaded_by("import nnx")
    assert {name for name in found if name.startswith("nnx.")} <= {
        *("nnx.errors", "nnx.tree", "nnx.types", "nnx.version"),
        *(f"nnx.backend.{module.name}" for module in pkgutil.iter_modules(nnx.backend.__path__)),
        "nnx.backend",
    }
    assert len(found - loaded_by("import numpy")) <= 60


def test_import_loads_nothing_heavy():
    heavy = {
        *("array_api_compat.numpy", "numpy.random", "numpy.fft", "numpy.testing", "numpy.f2py", "numpy.ma"),
        *(
            "torch",
            "jax",
            "cupy",
            "numba",
            "scipy",
            "matplotlib",
            "PIL",
            "pooch",
            "click",
            "rich",
            "tqdm",
        ),
        *("hashlib", "inspect", "urllib.request", "unittest", "csv", "asyncio", "logging"),
    }
    assert not (loaded_by("import nnx") - loaded_by("import numpy")) & heavy


@pytest.mark.parametrize(
    ("code", "without"),
    [
        ("nnx.grad", ("layers", "losses", "optimizers", "data", "io", "metrics", "training", "testing", "cli")),
        ("nnx.Linear(3, 2)", ("losses", "optimizers", "data", "io", "metrics", "training", "testing", "cli")),
        ("nnx.SGD", ("data", "io", "metrics", "training", "testing", "cli")),
        ("nnx.functional.relu", ("layers", "losses", "optimizers", "data", "io", "metrics", "training", "testing")),
    ],
)
def test_a_room_that_is_not_used_is_not_imported(code, without):
    assert not loaded_by(f"import nnx; {code}") & {f"nnx.{room}" for room in without}


def test_the_names_are_those_of_the_rooms():
    assert dir(nnx) == nnx.__all__ == sorted(set(nnx.__all__))
    exported = {name for room in OPEN for name in importlib.import_module(f"nnx.{room}").__all__}
    rooms = {module.name for module in pkgutil.iter_modules(nnx.__path__)} - {"cli", "version"}
    rest = set(nnx.__all__) - exported - rooms - set(nnx._SINGLE) - {"__version__"}
    assert rest <= set(nnx.backend.__all__)
    for room in OPEN:
        for name in importlib.import_module(f"nnx.{room}").__all__:
            assert getattr(nnx, name) is getattr(importlib.import_module(f"nnx.{room}"), name)


def test_no_name_is_exported_by_two_rooms():
    seen = [name for room in OPEN for name in importlib.import_module(f"nnx.{room}").__all__]
    assert len(seen) == len(set(seen))


def test_type_checkers_are_told_the_same_names():
    """What stands under TYPE_CHECKING, and is never run, must be what is found at run time."""
    tree = ast.parse(Path(nnx.__file__).read_text("utf-8"))
    told, stars = {"__version__"}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("nnx"):
            for alias in node.names:
                if alias.name == "*":
                    stars.add(node.module)
                else:
                    assert alias.asname == alias.name, "only what is imported as itself is exported to type checkers"
                    told.add(alias.name)
    assert stars == {f"nnx.{room}" for room in OPEN}
    told |= {name for room in stars for name in importlib.import_module(room).__all__}
    assert told == set(nnx.__all__)


def test_star_import():
    names = {}
    exec("from nnx import *", names)
    assert set(nnx.__all__) <= set(names)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match=r"^module 'nnx' has no attribute 'Lineal'$"):
        _ = nnx.Lineal
    for name in ("_private", "__wrapped__", "__test__"):
        assert not hasattr(nnx, name)
    with pytest.raises(ImportError, match="cannot import name 'Lineal' from 'nnx'"):
        exec("from nnx import Lineal")


def test_introspection():
    assert "Linear" in pydoc.render_doc(nnx)
    assert dict(inspect.getmembers(nnx))["Linear"] is nnx.layers.Linear
    assert inspect.getmodule(nnx.Linear).__name__ == "nnx.layers.linear"
    assert doctest.DocTestFinder().find(nnx)
    assert pickle.loads(pickle.dumps(nnx.Linear)) is nnx.Linear
    assert nnx.Linear is nnx.layers.Linear


def test_many_threads_may_ask_at_once():
    code = (
        "import sys, threading; import nnx\n"
        "sys.setswitchinterval(1e-6)\n"
        "names = ['SGD', 'Linear', 'grad', 'MSE', 'functional', 'training', 'Model', 'vjp'] * 2\n"
        "found, gate = [], threading.Barrier(len(names))\n"
        "def ask(name):\n    gate.wait()\n    found.append((name, getattr(nnx, name)))\n"
        "threads = [threading.Thread(target=ask, args=(name,)) for name in names]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert len(found) == len(names) and all(getattr(nnx, name) is value for name, value in found)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
