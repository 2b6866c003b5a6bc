"""The rules of the house, held by reading the source."""

import ast
import graphlib
import importlib
import inspect
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import nnx

ROOT = Path(nnx.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

ORDER = [
    *("version", "errors", "types", "tree", "backend", "autodiff", "functional", "kernels", "initializers", "layers"),
    *("losses", "schedules", "optimizers", "replay", "metrics", "data", "configuration", "training", "io", "callbacks"),
    *("parallel", "testing", "estimators", "cli"),
]
LIBRARIES = {"numpy", "cupy", "torch", "jax", "numba", "array_api_compat", "array_api_strict"}
MAY_NAME = {
    "backend": LIBRARIES,
    "kernels": LIBRARIES,
    "data": {"numpy"},
    "io": {"numpy"},
    "cli": {"numpy"},
    "training": {"numpy"},  # plots are drawn on the host
}
NO_QUEUE_STOPS = {"functional", "layers", "losses", "optimizers"}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[tuple[str, int]]:
    """Return the dotted modules that a file imports anywhere, also inside functions or by name, with their lines."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found |= {(f"{node.module}.{alias.name}", node.lineno) for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            found |= {(arg.value, node.lineno) for arg in node.args if isinstance(arg, ast.Constant)}
    return found


@pytest.mark.parametrize("path", [f for f in FILES if room(f) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path):
    assert room(path) in ORDER, f"say in ORDER where {room(path)} stands"
    here = ORDER.index(room(path))
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] == "nnx":
            assert parts[1] in ORDER, f"{path}:{line}: import from the room, not from nnx"
            assert ORDER.index(parts[1]) <= here, f"{path}:{line}: {room(path)} may not import {parts[1]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_array_libraries_are_named_in_their_rooms_alone(path):
    allowed = MAY_NAME.get(room(path), set())
    for module, line in imports(path):
        name = module.split(".")[0]
        assert name not in LIBRARIES - allowed, f"{path}:{line}: {room(path)} may not name {name}"


@pytest.mark.parametrize(
    "path", [f for f in FILES if room(f) in NO_QUEUE_STOPS], ids=lambda p: str(p.relative_to(ROOT))
)
def test_nothing_that_stops_the_queue_of_a_gpu(path):
    # array-api-compat's clip and sign read values on CuPy; nonzero, unique and item do everywhere.
    banned = {"clip", "sign", "nonzero", "item", "unique_values", "unique_counts", "unique_all", "unique_inverse"}
    host = path.name == "initializers.py"  # draws on the host
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in banned and not host:
            pytest.fail(f"{path}:{node.lineno}: {node.attr}")


@pytest.mark.parametrize("folder", sorted({f.parent for f in FILES}), ids=lambda p: str(p.relative_to(ROOT.parent)))
def test_no_file_is_named_like_something_that_its_folder_exports(folder):
    """``import nnx.functional.relu as module`` would give the function."""
    try:
        package = importlib.import_module(".".join(folder.relative_to(ROOT.parent).parts))
    except ModuleNotFoundError as error:  # the kernels of a library that is not installed
        if error.name not in LIBRARIES:
            raise
        pytest.skip(f"{error.name} is not installed")
    files = {path.stem for path in FILES if path.parent == folder}
    exported = {name for name in getattr(package, "__all__", ()) if not inspect.ismodule(getattr(package, name))}
    assert not files & exported


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_has_at_most_300_lines(path):
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= 300, f"{path} has {lines} lines: split it by subject"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


def imported_modules(path: Path) -> set[str]:
    """Return the modules of nnx that a file imports, for type hints too, but not the packages that it is in itself."""
    found = set()
    for name, _ in imports(path):
        while name and name not in MODULES:  # the last part may be a name inside a module
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {"", "nnx", module_name(path)}


def test_imports_make_no_circle():
    """Imports inside functions count too: they only hide a circle."""
    graph = {name: imported_modules(path) for name, path in MODULES.items()}
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_house_in_the_docs_is_this_one():
    """Each room has a line in docs/design.md, in the order in which rooms may import each other."""
    page = (Path(__file__).parents[1] / "docs" / "design.md").read_text("utf-8")
    _, table = page.split("## The house\n")
    lines = [line.split("|")[1] for line in table.split("\n## ")[0].splitlines() if line.startswith("| `")]
    named = [name for line in lines for name in re.findall(r"`(\w+)(?:\.py|/)`", line)]
    rooms = {room(path) for path in FILES} - {"__init__", "version"}
    assert set(named) == rooms
    assert [name for name in ORDER if name in named] == named


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_costs_nothing_but_the_hard_dependencies():
    code = "import json, sys, {}; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    found = set(json.loads(run(code.format("nnx"))))
    assert found - set(sys.stdlib_module_names) - {"__main__"} <= {
        *("nnx", "numpy", "array_api_compat"),
        *json.loads(run(code.format("numpy.random"))),
    }


def test_every_public_name_is_documented():
    # A type alias has no docstring of its own.
    named = {name: value for name in nnx.__all__ if not isinstance(value := getattr(nnx, name), types.GenericAlias)}
    missing = [name for name, value in named.items() if not (value.__doc__ or "").strip()]
    assert not missing
    for package in (nnx.functional, nnx.layers, nnx.losses, nnx.optimizers, nnx.backend, nnx.data, nnx.testing):
        for name in package.__all__:
            assert (getattr(package, name).__doc__ or "").strip(), f"{package.__name__}.{name}"


def test_a_training_step_reads_no_value(monkeypatch):
    """On a GPU each read of a value stops the queue; array-api-strict raises in its place."""
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    device = strict.Device("device1")

    def refuse(self):
        raise AssertionError("a training step read the value of an array")

    with nnx.use_backend("array-api-strict:device1"):
        rng = nnx.generator(0)
        model = nnx.Model([nnx.Linear(4, 5, rng=rng), nnx.ReLU(), nnx.Linear(5, 3, rng=rng), nnx.Sigmoid()])
        encoder = nnx.Reparameterization(seed=0)
        x = nnx.backend.asarray(rng.normal(size=(6, 4)), dtype="float32")
        labels = nnx.backend.asarray(rng.integers(3, size=6))
        one_hot = nnx.backend.asarray(0.5 + 0.0 * rng.normal(size=(6, 3)), dtype="float32")
    weight = strict.ones(3, dtype=strict.float32, device=device)
    losses = [
        (nnx.CrossEntropy(weight=weight, label_smoothing=0.1), labels),
        (nnx.CrossEntropy(), one_hot),
        (nnx.MSES(), one_hot),
        (nnx.MSE(), one_hot),
    ]
    optimizer = nnx.SGD(model, learning_rate=0.1)
    with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        for name in ("__float__", "__bool__", "__int__", "__index__", "__complex__"):
            monkeypatch.setattr(strict._array_object.Array, name, refuse)
        for loss, target in losses:
            loss(model(x), target)
            model.backward(loss.gradient())
            model.update(learning_rate=0.1)
            _, gradients = nnx.value_and_grad(lambda m, loss=loss, target=target: loss(m(x), target))(model)
            optimizer.step(gradients)
        divergence = nnx.KLDivergenceStandardNormal()
        variance = nnx.Exponential()(x)
        divergence(x, variance)
        divergence.gradient()
        encoder(x, variance)
        encoder.backward(nnx.Softmax()(x))
        monkeypatch.undo()
    assert nnx.backend.device_of(model.layers[0].weight) == device
