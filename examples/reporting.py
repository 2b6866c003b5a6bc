"""What the examples that use ``nnx.Trainer`` print while they train."""

import time
from typing import Any

import nnx


class Report(nnx.callbacks.Callback):
    """Prints a line after each epoch.

    ``template`` has its metrics in braces, as in ``"{epoch}: loss {loss:.3f}"``; ``{step}`` is the number of batches so
    far and ``{seconds}`` the time.
    """

    def __init__(self, template: str) -> None:
        self.template = template

    def on_fit_start(self, trainer: nnx.Trainer) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_epoch_end(self, trainer: nnx.Trainer, row: dict[str, Any]) -> None:
        """Print the line."""
        seconds = time.perf_counter() - self.start
        print(self.template.format(step=trainer.step, seconds=seconds, **row), flush=True)
