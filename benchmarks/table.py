"""Tables of what was measured, in Markdown, so that they can stand in a page as they are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.contestants.of_nnx import EAGER, REPLAYED
from benchmarks.peak import SMALLEST
from benchmarks.race import Result
from benchmarks.workload import Target, Workload

COLUMNS = ("torch", "jax", "by hand", "floor", "autograd", "advect", "sklearn", "post")


def heading(where: Mapping[str, Any]) -> str:
    """Return the machine, the versions and the date in a few lines."""
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    place = f"{where['date']}, {where['processor']}, core {where['core']}, {where['clock']} time"
    return "\n".join([place, "; ".join(where["blas"]), versions])


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def in_units(seconds: float) -> str:
    """Return a time in microseconds, or in milliseconds from 10 ms on."""
    return f"{seconds * 1e6:,.0f} us" if seconds < 0.01 else f"{seconds * 1e3:,.1f} ms"


def ratios(pairs: Sequence[tuple[Workload, Result]]) -> str:
    """Return the table of nnx's time relative to the others, with the target in brackets and a mark where it is missed.

    A workload has a row for each of its targets; where it has none, one for the faster of eager and replayed.
    """
    rows = []
    for workload, result in pairs:
        for target in workload.targets or (Target("best", {}),):
            ours = result.way_of(target.ours)
            cells = [_cell(result, ours, name, target.relative_to.get(name)) for name in COLUMNS]
            rows.append([workload.name, ours, in_units(result.spread(ours).median), *cells])
    return markdown(["workload", "nnx as", "time", *(f"/ {name}" for name in COLUMNS)], rows)


def _cell(result: Result, ours: str, name: str, target: float | None) -> str:
    if name not in result.times:
        return "" if target is None else f"not run ({target:g})"
    found = result.relative(ours, name).median
    if target is None:
        return f"{found:.2f}"
    return f"{found:.2f} ({target:g})" + ("" if found <= target else " **missed**")


def times(pairs: Sequence[tuple[Workload, Result]]) -> str:
    """Return the table of all times, with quartiles."""
    rows = []
    for workload, result in pairs:
        for name in sorted(result.times, key=lambda name: result.spread(name).median):
            median, lower, upper = map(in_units, result.spread(name))
            rows.append(
                [workload.name, name, median, f"{lower} to {upper}", f"{result.differences.get(name, 0.0):.0e}"]
            )
    return markdown(["workload", "contestant", "median", "quartiles", "differs by"], rows)


def peaks(pairs: Sequence[tuple[Workload, Result]]) -> str:
    """Return the table of peaks of memory; those of nnx with the ratio to PyTorch's, whose target is 1."""
    measured = {name for _, result in pairs for name in result.peaks}
    names = [name for name in (*EAGER, REPLAYED, "torch", "by hand") if name in measured]
    rows = [[workload.name, *(_peak(result.peaks, name) for name in names)] for workload, result in pairs]
    return markdown(["peak memory of a step", *names], rows)


def _peak(found: Mapping[str, int], name: str) -> str:
    if name not in found:
        return ""
    shown, size, base = in_megabytes(found[name]), found[name], found.get("torch", 0)
    if not name.startswith("nnx") or min(size, base) < SMALLEST:
        return shown
    return f"{shown}, {size / base:.2f}" + (" **missed**" if size > base else "")


def in_megabytes(size: int) -> str:
    """Return a size; what is smaller than some pages is not told apart."""
    return f"{size / 2**20:,.1f} MB" if size >= SMALLEST else "under 1 MB"


def footprint(found: Mapping[str, Any]) -> str:
    """Return the table of what an import takes and of what packages take on disk, with the targets of nnx."""
    seconds, sizes = found["import_seconds"], found["installed_bytes"]
    rows = []
    for name in dict.fromkeys([*seconds, *sizes]):
        time = seconds[name]["median"] if name in seconds else None
        of_numpy = "" if time is None else f"{time / seconds['numpy']['median']:.2f}"
        shown = "" if time is None else in_units(time)
        rows.append([name, shown, of_numpy + " (1.5)" * (name == "nnx"), in_megabytes(sizes[name])])
        rows[-1][-1] += " (3 MB)" * (name == "nnx")
    return markdown(["package", "import", "/ numpy", "installed"], rows)


def missed(pairs: Sequence[tuple[Workload, Result]]) -> list[str]:
    """Return a line for each target that is missed or could not be measured."""
    lines = []
    for workload, result in pairs:
        for target in workload.targets:
            ours = result.way_of(target.ours)
            if target.ours == "replayed" and ours != "nnx replayed":
                lines.append(f"{workload.name}: nothing replays, so that {ours} stands in")
            for name, at_most in target.relative_to.items():
                found = result.relative(ours, name).median if name in result.times else None
                if found is None:
                    lines.append(f"{workload.name}: {name} did not run")
                elif found > at_most:
                    lines.append(f"{workload.name}: {ours} / {name} is {found:.2f}, the target {at_most:g}")
    return lines
