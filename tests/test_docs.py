"""Every block of Python in the README and the docs runs; the blocks of one file share their names."""

import re
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

import nnx

ROOT = Path(__file__).parents[1]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if path.exists()]
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGE_NEEDS = {"pytorch.md": "torch"}
BLOCK_NEEDS = {
    **{"import jax\n": "jax", 'use_backend("cupy': "cupy"},
    **{"import torch\n": "torch", "import keras\n": "keras", "from sklearn": "sklearn"},
}
"""Pages by name, and blocks by what they contain, that run only where a library is there."""


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
    text = page.read_text("utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        block = match.group(1)
        line = text.count("\n", 0, match.start(1))
        needs = {library for part, library in BLOCK_NEEDS.items() if part in block}
        if all(name in nnx.available_backends() or (name != "cupy" and find_spec(name)) for name in needs):
            code = compile("\n" * line + block, str(page), "exec")
            exec(code, names)
