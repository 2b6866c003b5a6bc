import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_killed_process_leaves_a_whole_checkpoint():
    """Three kills; docs/reliability.md has a hundred, and tests/io/test_damage.py the flipped bits and the cuts."""
    script = Path(__file__).with_name("files.py")
    command = [sys.executable, str(script), "kills", "--kills", "3"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "3 kills: 3 left a whole checkpoint" in result.stdout


def test_a_long_run_takes_no_more_memory_and_counts_right():
    """4,000 steps; docs/reliability.md has a million."""
    script = Path(__file__).with_name("long_run.py")
    command = [sys.executable, str(script), "--steps", "4000", "--epochs", "20"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "4000 steps in 20 epochs" in result.stdout
    assert "step of the optimizer 4000, rows of the history 20" in result.stdout
    assert int(result.stdout.split()[-2].replace(",", "")) < 2**17
