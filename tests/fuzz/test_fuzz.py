import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_every_reader_survives_some_damaged_inputs(tmp_path):
    """A short run; docs/reliability.md has the long one."""
    for package in ("rich", "PIL"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, str(script), "all", "--inputs", "400", "--seed", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert all("400 inputs" in line and " 0 failures" in line for line in lines)
