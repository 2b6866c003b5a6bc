"""Run the benchmark: ``python -m benchmarks [names] [--peers torch,jax] [--json FILE] [--plot FILE]``.

The process is pinned before any array library is imported; so nothing outside of functions may import one.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from benchmarks import processor

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PEERS = ("torch", "jax", "sklearn", "autograd", "advect", "post")
PARTS = ("time", "memory", "footprint")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="nnx beside its peers, on one core.")

    def some_of(choices: tuple[str, ...]):
        def split(text: str) -> list[str]:
            names = [name for name in text.split(",") if name]
            if unknown := sorted(set(names) - set(choices)):
                raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(choices)}")
            return names

        return split

    parser.add_argument("names", nargs="*", help="workloads whose names contain one of these; default all")
    parser.add_argument("--peers", type=some_of(PEERS), default=PEERS, help="default all that are installed")
    parser.add_argument("--parts", type=some_of(PARTS), help="default time,memory,footprint; with --quick time alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the times (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--profile", action="store_true", help="print instead where nnx spends its time")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads")
    parser.add_argument("--rounds", type=int, default=101, help="at most so many (%(default)s)")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for a workload's rounds (%(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu for a machine that does other things too")
    parser.add_argument("--core", type=int, help="the core to run on; default the last one")
    parser.add_argument("--coretype", help="kernels that OpenBLAS shall take; default those for this processor")
    options = parser.parse_args(arguments)
    options.parts = options.parts or (PARTS[:1] if options.quick else PARTS)
    return options


def choose(options: argparse.Namespace) -> list:
    """Return the workloads that are named, with tiny sizes and without targets for a quick run."""
    from benchmarks.workloads import WORKLOADS

    chosen = [w for w in WORKLOADS if not options.names or any(name in w.name for name in options.names)]
    if options.quick:
        return [dataclasses.replace(workload, sizes=workload.quick, targets=()) for workload in chosen]
    return chosen


def run(workloads: list, options: argparse.Namespace) -> tuple[list, dict]:
    """Return the results of workloads, with their peaks of memory, and the errors of those that disagree."""
    from benchmarks import peak
    from benchmarks.race import DisagreementError, race
    from nnx.backend import keep_freed_memory

    settings = {"rounds": options.rounds, "budget": options.budget, "clock": CLOCKS[options.clock]}
    if options.quick:
        settings |= {"rounds": 7, "shortest": 1e-4}
    keep_freed_memory()
    pairs, errors = [], {}
    for workload in workloads:
        print(workload.name, end=" ... ", file=sys.stderr, flush=True)
        try:
            result = race(workload, peers=options.peers, **settings)
        except DisagreementError as error:
            errors[workload.name] = str(error)
            print("error", file=sys.stderr)
            continue
        if "memory" in options.parts:
            result.peaks.update(peak.of_workload(workload.name, result.times, options.quick))
        pairs.append((workload, result))
        print("; ".join(f"{name} left out: {why}" for name, why in result.left_out.items()) or "done", file=sys.stderr)
    return pairs, errors


def main(arguments: list[str] | None = None) -> int:
    """Run what the options name; return 1 if contestants disagree."""
    options = parse(arguments)
    core = processor.pin(options.core, options.coretype)
    workloads = choose(options)
    if options.list or not workloads:
        from benchmarks.workloads import WORKLOADS

        print(*(workload.name for workload in WORKLOADS), sep="\n")
        return 0 if options.list else 2
    if options.profile:
        from benchmarks.profiling import profile

        for workload in workloads:
            profile(workload)
        return 0

    from benchmarks import chart, footprint, record, table

    pairs, errors = run(workloads, options)
    where = record.conditions(core, options.clock)
    print(table.heading(where), table.ratios(pairs), table.times(pairs), sep="\n\n")
    if "memory" in options.parts:
        print("", table.peaks(pairs), sep="\n")
    found = footprint.measure(rounds=1 if options.quick else 21) if "footprint" in options.parts else {}
    if found:
        print("", table.footprint(found), sep="\n")
    print("", *table.missed(pairs), sep="\n")
    if options.json:
        record.write(options.json, where, pairs, footprint=found, errors=errors)
    if options.plot:
        chart.draw(options.plot, pairs)
    print(*(f"error: {message}" for message in errors.values()), sep="\n", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
