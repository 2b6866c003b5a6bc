"""Run an example as a newcomer does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Run an example with its plot in a temporary folder; check the plot and return what was printed."""

    def run_example(name, *options):
        script = ROOT / "examples" / f"{name}.py"
        command = [sys.executable, "-W", "error", str(script), "--out", str(tmp_path / "plots"), *options]
        environment = os.environ | {
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",  # a BLAS with more threads than free cores is slower
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUTF8": "1",
        }
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        check_png(tmp_path / "plots" / f"{name}.png")
        return done.stdout

    return run_example


def check_png(path):
    """Check that a file is a whole PNG image of some size that is not of one colour."""
    from PIL import Image

    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        assert min(image.size) >= 400
        assert image.convert("L").getextrema() != (255, 255)
