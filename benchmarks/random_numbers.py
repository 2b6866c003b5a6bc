"""What a mask costs on NumPy, against the fastest that NumPy itself offers: ``Generator.random(...) < p`` in float32.

The two are drawn in turn, and the medians of their CPU times are compared. Run on one core:
``taskset -c 0 python benchmarks/random_numbers.py``.
"""

import statistics
import time
import timeit

import numpy as np

import nnx

SHAPE = (1000, 1000)
BUDGET = 2.5  # times what NumPy takes


def main() -> None:
    like, rng = np.zeros(1, np.float32), np.random.default_rng(0)
    noise = {"like": like, "seed": 0, "stream": "benchmark", "step": 0}
    drawn = {
        "Generator.random(float32) < 0.5": lambda: rng.random(SHAPE, np.float32) < 0.5,
        "keep_mask": lambda: nnx.backend.keep_mask(SHAPE, 0.5, **noise),
        "scaled_mask": lambda: nnx.backend.scaled_mask(SHAPE, 0.5, **noise),
        "uniform": lambda: nnx.backend.uniform(SHAPE, **noise),
        "normal": lambda: nnx.backend.normal(SHAPE, **noise),
    }
    base, *others = drawn
    for name in others:
        times: dict[str, list[float]] = {base: [], name: []}
        for _ in range(50):
            for each, found in times.items():
                found.append(timeit.timeit(drawn[each], number=1, timer=time.process_time))
        ours, theirs = statistics.median(times[name]), statistics.median(times[base])
        held = "" if name != "keep_mask" else f"  budget {BUDGET}: {'held' if ours <= BUDGET * theirs else 'missed'}"
        print(f"{name:12} {ours * 1e3:7.2f} ms, {ours / theirs:5.2f} times {base}{held}")


if __name__ == "__main__":
    main()
