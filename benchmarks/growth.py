"""How time and memory of a training step grow: ``python -m benchmarks.growth [--json FILE] [--plot FILE] [--quick]``.

One size of a network is varied at a time, for nnx (eager, and its step replayed) and PyTorch, pinned to one core and in
turns, as in the benchmark. The peak of memory is that of a process for each curve, from its smallest size to its
largest; below a megabyte, where it is of single pages, it is left out. Linux only, like all that measures peaks.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processor

CONTESTANTS = ("nnx", "nnx replayed", "torch")


@dataclass(frozen=True)
class Curve:
    """A size that is varied.

    Attributes
    ----------
    title, unit : str
        What the network is, and what the size counts.
    build : callable
        ``build(size)`` returns a maker of the step for each contestant.
    sizes : tuple of int
    power : int
        With which power of the size the work grows, for the line that is drawn beside it.
    """

    title: str
    unit: str
    build: Callable[[int], Mapping[str, Callable[[], Any]]]
    sizes: tuple[int, ...]
    power: int = 1


def curves() -> dict[str, Curve]:
    """Return the curves by name."""
    from benchmarks.workload import Rule
    from benchmarks.workloads import mlp, text

    sgd = Rule("SGD", 1e-3)
    return {
        "batch": Curve(
            "256-256-256-10, SGD",
            "examples in a batch",
            lambda n: mlp.training(sgd, (256, 256, 256, 10), n),
            (1, 4, 16, 64, 256, 1024, 4096),
        ),
        "width": Curve(
            "three maps of n x n, batch 64, SGD",
            "features n",
            lambda n: mlp.training(sgd, (n, n, n, n), 64),
            (8, 32, 128, 512, 1024, 2048),
            power=2,
        ),
        "depth": Curve(
            "maps of 64 x 64, batch 64, SGD",
            "layers, with ReLU between",
            lambda n: mlp.training(sgd, (64,) * (n + 1), 64),
            (1, 4, 16, 64, 256, 1024),
        ),
        "transformer": Curve(
            "transformer, 2 x 64, batch 4, AdamW",
            "tokens in a sequence",
            lambda n: text.transformer(4, n, 64, 4, 2),
            (16, 32, 64, 128, 256, 512, 1024),
        ),
        "lstm": Curve(
            "LSTM, 64 units, batch 16, Adam",
            "tokens in a sequence",
            lambda n: text.lstm(16, n, 64, 64),
            (8, 16, 32, 64, 128, 256, 512),
        ),
    }


def makers_of(curve: Curve, size: int) -> dict[str, Callable[[], Any]]:
    """Return the makers of the contestants; nnx's is that of its best tier."""
    from benchmarks.contestants.of_nnx import EAGER

    makers = curve.build(size)
    best = next(name for name in reversed(EAGER) if name in makers)
    return {name: makers[best if name == "nnx" else name] for name in CONTESTANTS}


def seconds(curve: Curve, size: int, budget: float) -> dict[str, float]:
    """Return the median time of a step of each contestant."""
    from benchmarks.timing import interleaved

    steps = {}
    for name, make in makers_of(curve, size).items():
        try:
            steps[name] = make()
        except ImportError:
            continue
        for _ in range(3):  # a replayed step is recorded in the first, and checked in the second
            steps[name]()
    times = interleaved(steps, budget=budget, clock=time.process_time)
    return {name: statistics.median(found) for name, found in times.items()}


def peaks_of_this_process(curve: Curve, contestant: str) -> list[int]:
    """Return the peak of each size, as :mod:`benchmarks.peak` measures it."""
    from benchmarks import peak

    def three(step):
        for _ in range(peak.STEPS):
            step()

    three(makers_of(curve, curve.sizes[0])[contestant]())
    found = []
    for size in curve.sizes:
        step = makers_of(curve, size)[contestant]()
        found.append(peak.rise(lambda step=step: three(step)))
        del step
    return found


def peaks(name: str, contestant: str) -> list[int]:
    """Return the same, from a new process."""
    command = [sys.executable, "-m", "benchmarks.growth", "--memory-of", name, contestant]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def exponent(sizes: list[int], values: list[float]) -> float:
    """Return with which power of the size a number grows between the last two sizes."""
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def measure(name: str, curve: Curve, budget: float, is_quick: bool) -> dict[str, Any]:
    """Return the seconds and bytes of a curve, for each size."""
    sizes = curve.sizes[:2] if is_quick else curve.sizes
    times = [seconds(curve, size, budget) for size in sizes]
    found = {"title": curve.title, "unit": curve.unit, "power": curve.power, "sizes": list(sizes)}
    found |= {"seconds": {}, "bytes": {}}
    for contestant in times[0]:
        found["seconds"][contestant] = [each[contestant] for each in times]
        if sys.platform == "linux" and not is_quick:
            found["bytes"][contestant] = peaks(name, contestant)
    return found


def report(found: Mapping[str, Any]) -> str:
    """Return a table: the largest size of each curve, and how the time grows there."""
    lines = ["| varied | largest | nnx | replayed | PyTorch | grows with the power (nnx, PyTorch) |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for curve in found.values():
        times = curve["seconds"]
        cells = [f"{times[name][-1] * 1e3:,.1f} ms" if name in times else "-" for name in CONTESTANTS]
        powers = [f"{exponent(curve['sizes'], times[name]):.2f}" for name in ("nnx", "torch") if name in times]
        what = f"{curve['unit']}: {curve['title']}"
        lines.append(f"| {what} | {curve['sizes'][-1]:,} | {' | '.join(cells)} | {', '.join(powers)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write what the options name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="curves; default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="stored", help="draw what such a file holds")
    parser.add_argument("--budget", type=float, default=1.5, help="seconds for a size (%(default)s)")
    parser.add_argument("--core", type=int, help="the core to run on; default the last one")
    parser.add_argument("--quick", action="store_true", help="the two smallest sizes, to see that everything runs")
    parser.add_argument("--memory-of", nargs=2, metavar=("CURVE", "CONTESTANT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    core = processor.pin(options.core)
    if options.memory_of:
        name, contestant = options.memory_of
        print(json.dumps(peaks_of_this_process(curves()[name], contestant)))
        return 0
    if options.stored:
        found = json.loads(options.stored.read_text("utf-8"))
    else:
        from benchmarks import record
        from nnx.backend import keep_freed_memory

        keep_freed_memory()
        chosen = {name: curve for name, curve in curves().items() if name in (options.names or curves())}
        measured = {name: measure(name, curve, options.budget, options.quick) for name, curve in chosen.items()}
        found = {**record.conditions(core, "cpu"), "curves": measured}
    print(report(found["curves"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.plot:
        from benchmarks import growth_chart

        growth_chart.draw(options.plot, found["curves"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
