"""A long run: many steps of a tiny model, with the growth of memory after the start and the counters at the end.

python tests/reliability/long_run.py --steps 1000000
"""

import argparse
import gc
import time
import tracemalloc

import numpy as np

import nnx


class Growth(nnx.callbacks.Callback):
    """The memory that Python objects and arrays take at the end of epochs, in bytes, from the second epoch on."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def on_epoch_end(self, trainer, row):
        if trainer.epoch == 2 or trainer.epoch % 10 == 0:
            gc.collect()
            self.sizes.append(tracemalloc.get_traced_memory()[0])


def run(steps: int, epochs: int) -> tuple[nnx.Trainer, list[int]]:
    """Train so many steps in so many epochs; return the trainer, and the memory at the ends of epochs."""
    x = nnx.generator(0).normal(size=(2 * (steps // epochs), 1)).astype("float32")
    model = nnx.Linear(1, 1, rng=0)
    growth = Growth()
    trainer = nnx.Trainer(
        model, nnx.MSE(), nnx.SGD(model, 0.01), metrics=[nnx.metrics.MeanAbsoluteError()], callbacks=[growth]
    )
    loader = nnx.data.DataLoader((x, 3.0 * x), batch_size=2)  # batches are views
    tracemalloc.start()
    try:
        trainer.fit(loader, epochs=epochs)
    finally:
        tracemalloc.stop()
    return trainer, growth.sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    began = time.perf_counter()
    trainer, sizes = run(options.steps, options.epochs)
    np.testing.assert_allclose(trainer.model.weight, [[3.0]], atol=1e-3)
    print(f"{trainer.step} steps in {trainer.epoch} epochs, {time.perf_counter() - began:.0f} s")
    counts = trainer.optimizer.state_dict()["step"], len(trainer.history.rows)
    print(f"step of the optimizer {counts[0]}, rows of the history {counts[1]}")
    print(f"memory after epoch 2: {sizes[0]:,} bytes; growth to the last: {sizes[-1] - sizes[0]:,} bytes")


if __name__ == "__main__":
    main()
