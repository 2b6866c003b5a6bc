"""The workloads, a file for each family."""

from benchmarks.workload import Workload
from benchmarks.workloads import mlp

WORKLOADS: tuple[Workload, ...] = (*mlp.WORKLOADS,)
