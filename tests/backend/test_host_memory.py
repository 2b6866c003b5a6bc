"""Memory that a step frees is there for the next one, where that is asked for."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
import nnx

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        nnx.functional.relu(np.ones((1000, 1000), np.float32))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    nnx.backend.keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is about the allocator of glibc")
def test_large_arrays_do_not_come_anew_from_the_system():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def faults(choice):
        command = [sys.executable, "-c", PROGRAM, choice]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)

    assert faults("keep") < 5000  # an array has 1,000 pages, and there are 100 of them
    assert faults("leave") > 10 * faults("keep")
