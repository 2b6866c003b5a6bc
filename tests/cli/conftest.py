import contextvars
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnx.training import History

ROOT = Path(__file__).parents[2]


@dataclass
class Result:
    """What a call of the command left: its exit code and both streams."""

    code: int
    out: str
    err: str

    def ok(self):
        """Return what was printed, having checked that all went well."""
        assert (self.code, self.err) == (0, "")
        return self.out

    def failed(self, code=1):
        """Return the error, having checked that it is one line."""
        assert self.code == code
        assert self.err.startswith("nnx: error: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.out + self.err
        return self.err


class Command:
    """The command ``nnx``, called from an empty directory."""

    def __init__(self, capture, folder):
        self.capture, self.folder = capture, folder

    def __call__(self, *arguments):
        """Call it in this process, which is quick."""
        from nnx.cli.__main__ import run

        self.capture.readouterr()
        # In an empty context, as a new process has it: a backend once selected stays so in its context.
        code = contextvars.Context().run(run, [str(argument) for argument in arguments])
        return Result(code, *self.capture.readouterr())

    def start(self, *arguments, code=None):
        """Start it as a process of its own; ``code`` is Python to run instead of the module."""
        what = ["-m", "nnx.cli"] if code is None else ["-c", code]
        return subprocess.Popen(
            [sys.executable, *what, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *arguments, code=None):
        """Run it as a process of its own, to its end."""
        process = self.start(*arguments, code=code)
        out, err = process.communicate(timeout=120)
        return Result(process.returncode, out, err)

    def figures(self, run):
        """Return the rows of a run."""
        return [tuple(row.values()) for row in History.read_csv(self.folder / run / "history.csv").rows]

    def config(self, run):
        """Return what a run's configuration holds."""
        return json.loads((self.folder / run / "config.json").read_text())


@pytest.fixture
def nnx_command(tmp_path, monkeypatch, capfd):
    for package in ("click", "rich", "matplotlib", "PIL"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNX_BACKEND", raising=False)
    return Command(capfd, tmp_path)
