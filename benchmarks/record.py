"""What was measured as JSON, together with where and when."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import processor
from benchmarks.race import Result
from benchmarks.workload import Workload


def conditions(core: int | None, clock: str) -> dict[str, Any]:
    """Return the machine, the versions and the date of a run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": processor.processor_name(),
        "core": core,
        "clock": clock,
        "blas": processor.blas_kernels(),
        "versions": processor.versions(),
    }


def of_workload(workload: Workload, result: Result) -> dict[str, Any]:
    """Return a workload's times, and its ratios beside the targets."""
    ratios = []
    for target in workload.targets:
        ours = result.way_of(target.ours)
        for name, at_most in target.relative_to.items():
            found = result.relative(ours, name)._asdict() if name in result.times else None
            is_met = found is not None and found["median"] <= at_most
            ratios.append({"ours": ours, "wanted": target.ours, "relative_to": name, "target": at_most})
            ratios[-1] |= {"ratio": found, "is_met": is_met}
    return {
        "sizes": dict(workload.sizes),
        "seconds": {name: result.spread(name)._asdict() | {"rounds": len(result.times[name])} for name in result.times},
        "differences": result.differences,
        "left_out": result.left_out,
        "peak_bytes": result.peaks,
        "ratios": ratios,
    }


def write(path: Path, where: dict[str, Any], pairs: Sequence[tuple[Workload, Result]], **more: Any) -> None:
    """Write the file."""
    workloads = {workload.name: of_workload(workload, result) for workload, result in pairs}
    path.write_text(json.dumps({**where, "workloads": workloads, **more}, indent=1) + "\n", "utf-8")
