"""Memory that a step frees is there for the next one."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
import nnx

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        nnx.functional.relu(np.ones((1000, 1000), np.float32))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is about the allocator of glibc")
def test_large_arrays_do_not_come_anew_from_the_system():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5000  # an array has 1,000 pages
