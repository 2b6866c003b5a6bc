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
