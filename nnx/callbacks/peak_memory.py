"""How much memory a run takes."""

import sys
from collections.abc import Mapping
from typing import Any

from nnx.backend import peak_of_device
from nnx.training.history import Row
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer


class Memory(Callback):
    """Records the most memory that was taken until the end of each epoch, in bytes.

    Attributes
    ----------
    rows : list of dict
        For each epoch ``epoch``, ``process``, the peak of the resident memory of the process, and ``device``, the peak
        of the library on the device of the model. What the system or the library does not tell is left out.

    Notes
    -----
    The process's is ``ru_maxrss`` of ``getrusage``, which Windows does not have. The device's is that of torch's and
    JAX's allocators; CuPy tells what its pool holds.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, rng=0)
    >>> memory = nnx.callbacks.Memory()
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[memory])
    >>> _ = trainer.fit((np.ones((4, 1), np.float32),), epochs=1)
    >>> memory.rows[0].get("process", 2**24) > 2**20
    True
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Add a row."""
        first = next(iter(trainer.model.parameters().values()), None)
        found = {"process": _peak_of_process(), "device": None if first is None else peak_of_device(first)}
        self.rows.append({"epoch": row["epoch"], **{name: size for name, size in found.items() if size is not None}})

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.rows = [dict(row) for row in state["rows"]]


def _peak_of_process() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # in kilobytes, but for macOS
