"""Every block of Python in the README and the docs runs; the blocks of one file share their names."""

import re
import socket
from pathlib import Path

import pytest

import nnx

ROOT = Path(__file__).parents[1]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if path.exists()]
NEEDS = {"pytorch.md": "torch"}
"""Libraries without which a page is skipped."""
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a block of the docs reaches for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.skipif(not PAGES, reason="there is no page yet")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_python_run(page, tmp_path, monkeypatch, offline):
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name], reason=f"{NEEDS[page.name]} is not installed")
    monkeypatch.chdir(tmp_path)
    text = page.read_text("utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        block = match.group(1)
        line = text.count("\n", 0, match.start(1))
        if 'use_backend("cupy' in block and "cupy" not in nnx.available_backends():
            continue  # shown for a machine with a CUDA device
        code = compile("\n" * line + block, str(page), "exec")
        exec(code, names)
