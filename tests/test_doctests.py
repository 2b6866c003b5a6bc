"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import nnx

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["nnx", *sorted(module.name for module in pkgutil.walk_packages(nnx.__path__, "nnx."))]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_of(name, tmp_path, monkeypatch):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nnx"):
            raise
        pytest.skip(f"{name} needs {error.name}")
    monkeypatch.chdir(tmp_path)
    with np.printoptions(legacy=False):
        finder = doctest.DocTestFinder(exclude_empty=True)
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        report: list[str] = []
        for test in finder.find(module, name):
            runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)
