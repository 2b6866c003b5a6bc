"""The workloads, a file for each family."""

from benchmarks.workload import Workload
from benchmarks.workloads import images, mlp, optimizers, own_loss, text

WORKLOADS: tuple[Workload, ...] = (
    *mlp.WORKLOADS,
    *images.WORKLOADS,
    *text.WORKLOADS,
    *own_loss.WORKLOADS,
    *optimizers.WORKLOADS,
)
