"""Run the benchmark: ``python -m benchmarks [names] [--peers torch,jax] [--json FILE] [--plot FILE]``.

The process is pinned before any array library is imported; so nothing above ``main`` may import one.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from benchmarks import processor

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PEERS = "torch,jax,sklearn,autograd,advect,post"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="nnx beside its peers, on one core.")
    parser.add_argument("names", nargs="*", help="workloads whose names contain one of these; default all")
    parser.add_argument("--peers", default=PEERS, help="default all: %(default)s; those not installed are left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the times (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads")
    parser.add_argument("--rounds", type=int, default=101, help="at most so many (%(default)s)")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for a workload's rounds (%(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu for a machine that does other things too")
    parser.add_argument("--core", type=int, help="the core to run on; default the last one")
    parser.add_argument("--coretype", help="kernels that OpenBLAS shall take; default those for this processor")
    options = parser.parse_args(arguments)
    options.peers = [name for name in options.peers.split(",") if name]
    if unknown := sorted(set(options.peers) - set(PEERS.split(","))):
        parser.error(f"unknown peers {', '.join(unknown)}; there are {PEERS}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run what the options name; return 1 if contestants disagree."""
    options = parse(arguments)
    core = processor.pin(options.core, options.coretype)

    from benchmarks import record, table
    from benchmarks.race import DisagreementError, race
    from benchmarks.timing import settle_allocator
    from benchmarks.workloads import WORKLOADS

    chosen = [w for w in WORKLOADS if not options.names or any(name in w.name for name in options.names)]
    if options.quick:  # the targets are for the real sizes
        chosen = [dataclasses.replace(workload, sizes=workload.quick, targets=()) for workload in chosen]
    if options.list or not chosen:
        print(*(workload.name for workload in WORKLOADS), sep="\n")
        return 0 if options.list else 2
    settle_allocator()
    settings = {"rounds": options.rounds, "budget": options.budget, "clock": CLOCKS[options.clock]}
    if options.quick:
        settings |= {"rounds": 7, "shortest": 1e-4}
    pairs, code = [], 0
    for workload in chosen:
        print(workload.name, end=" ... ", file=sys.stderr, flush=True)
        try:
            result = race(workload, peers=options.peers, **settings)
        except DisagreementError as error:
            print(f"\nerror: {error}", file=sys.stderr)
            code = 1
            continue
        pairs.append((workload, result))
        print("; ".join(f"{name} left out: {why}" for name, why in result.left_out.items()) or "done", file=sys.stderr)
    where = record.conditions(core, options.clock)
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    print(f"{where['processor']}, core {core}, {where['clock']} time, {'; '.join(where['blas'])}; {versions}\n")
    print(table.ratios(pairs), table.times(pairs), "\n".join(table.missed(pairs)), sep="\n\n")
    if options.json:
        record.write(options.json, where, pairs)
    if options.plot:
        from benchmarks import chart

        chart.draw(options.plot, pairs)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
