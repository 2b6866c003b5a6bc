import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "larger_than_memory.py"
LIMIT = 500 / 4096  # MiB of memory for each MiB of the file


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps the peak of a process")
def test_an_epoch_over_a_file_takes_little_memory(tmp_path):
    command = [sys.executable, BENCHMARK, "--gib", "0.25", "--reader", "file", "--folder", tmp_path]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["sequential", "shuffled"]
    for line in lines[1:]:
        samples, size, peak = map(float, line.split()[2:5])
        assert (samples, size) == (65536, 256)
        assert peak < LIMIT * size
    assert not list(tmp_path.iterdir())
