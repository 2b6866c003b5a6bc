"""Every block of Python in the README and the docs runs; the blocks of one file share their names."""

import socket
from importlib.util import find_spec
from pathlib import Path

import pytest
from pages import blocks_of, run

import nnx

ROOT = Path(__file__).parents[1]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if path.exists()]
PAGE_NEEDS = {"pytorch.md": "torch"}
BLOCK_NEEDS = {
    "import jax\n": ["jax"],
    "import torch\n": ["torch"],
    'use_backend("cupy': ["cupy"],
    "import keras\n": ["keras", "torch"],
    "from sklearn": ["sklearn"],
}
"""Pages by name, and blocks by what they contain, that run only where the libraries are there; Keras runs on torch."""


def case_of(page):
    """Return the parameter for a page; one that uses JAX is run where JAX is tested, too."""
    marks = pytest.mark.backend if "\nimport jax\n" in page.read_text("utf-8") else ()
    return pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a block of the docs reaches for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
@pytest.mark.skipif(not PAGES, reason="there is no page yet")
@pytest.mark.parametrize("page", [*map(case_of, PAGES)])
def test_blocks_of_python_run(page, tmp_path, monkeypatch, offline):
    if page.name in PAGE_NEEDS:
        pytest.importorskip(PAGE_NEEDS[page.name], reason="a library that the page is about is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # or it writes its settings into the user's folder
    names: dict[str, object] = {"__name__": "__main__"}
    for _, source in blocks_of(page):
        needs = {library for part, libraries in BLOCK_NEEDS.items() if part in source for library in libraries}
        if all(name in nnx.available_backends() or (name != "cupy" and find_spec(name)) for name in needs):
            run(source, page, names)
