"""Peak memory of a step: by how much the resident memory of a process rises, in a process for each contestant.

What counts is the rise above the memory with weights and data in place, through three steps from the first one on: the
state of the optimizer, gradients, residuals, and what is kept for the next step. A run with tiny sizes goes before, so
that the code of the libraries is loaded. Linux only: it is the kernel that keeps the peak.
"""

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

STEPS = 3
SMALLEST = 2**20
"""Below it, a rise is of single pages, and says nothing."""

LEFT_OUT = {
    "jax": "compiling takes memory in the same process, and of the same order",
    "sklearn": "it keeps the arrays of its own first step",
    "floor": "it computes into arrays that it has",
}
MEASURED = ("nnx native", "nnx compiled", "nnx replayed", "torch", "by hand", "autograd", "advect", "post")


def resident(field: str) -> int:
    """Return a size of this process in bytes: now (VmRSS), or at most since it was reset (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def rise(function: Callable[[], Any]) -> int:
    """Return by how many bytes the memory of this process rises at most while a function runs.

    Free memory that the C library holds is given back first; else the function would use it, and nothing would rise.
    """
    gc.collect()
    if hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    function()
    return max(0, resident("VmHWM") - before)


def of_this_process(workload: str, contestant: str, quick: bool) -> int:
    """Measure a contestant in this process."""
    from benchmarks.contestants.of_nnx import in_tier
    from benchmarks.workloads import WORKLOADS

    chosen = next(each for each in WORKLOADS if each.name == workload)

    def run(step):
        with in_tier(contestant):
            for _ in range(STEPS):
                step()

    run(chosen.build(**chosen.quick)[contestant]())
    step = chosen.build(**(chosen.quick if quick else chosen.sizes))[contestant]()
    return rise(lambda: run(step))


def of_workload(name: str, contestants: Collection[str], quick: bool = False) -> Mapping[str, int]:
    """Return the rise in bytes of each contestant that can be measured, each in a process of its own."""
    found = {}
    for contestant in contestants:
        if contestant in MEASURED:
            command = [sys.executable, "-m", "benchmarks.peak", name, contestant, json.dumps(quick)]
            found[contestant] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


if __name__ == "__main__":
    from benchmarks import processor

    processor.pin()
    print(of_this_process(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
