"""The processor: one core and one thread for everybody, and what machine it is. Imports no array library."""

import importlib.metadata
import os
import platform
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
PACKAGES = ("numpy", "numba", "torch", "jax", "scikit-learn", "autograd", "advect", "array-api-compat")


CORETYPE = "OPENBLAS_CORETYPE"


def pin(core: int | None = None, coretype: str | None = None) -> int | None:
    """Hold this process to one core, and each library to one thread; return the core, None where that cannot be.

    To be called before an array library is imported: BLAS and XLA count cores once. XLA starts a thread for each core
    that it may run on, whatever the variables say, so nothing less than the affinity makes it comparable.

    OpenBLAS takes the kernels that it finds best for the processor, or those named ``coretype``. A variable of the
    environment that asks for others is taken away: it would slow NumPy alone, to half on some processors.
    """
    os.environ.update(dict.fromkeys(THREADS, "1"))
    os.environ.pop(CORETYPE, None)
    if coretype:
        os.environ[CORETYPE] = coretype
    if not hasattr(os, "sched_setaffinity"):
        return None
    chosen = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


def processor_name() -> str:
    """Return the name of the processor as the system gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def blas_kernels() -> list[str]:
    """Return what BLAS each library has loaded and with which kernels, as far as threadpoolctl knows."""
    try:
        import threadpoolctl
    except ImportError:
        return []
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return [f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', '')}".rstrip(", ") for pool in pools]


def versions() -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
