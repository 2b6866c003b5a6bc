"""Move a run from one array library or device to another as it proceeds."""

from collections.abc import Mapping

from nnx.errors import ArgumentError
from nnx.training.hooks import Callback
from nnx.training.trainer import Trainer


class MoveBackend(Callback):
    """Moves model, optimizer and data to another backend or device before the epochs that are named.

    The results are the same but for rounding. A resumed run goes on where the epoch belongs.

    Parameters
    ----------
    places : dict from epoch to backend or device
        From which epoch on, from 1, the run is where: ``{2: "torch", 5: "numpy"}``.

    Raises
    ------
    ArgumentError
        If an epoch is not a number from 1 on, or a place not a string.
    BackendError, DeviceError
        In a fit, if there is no such backend or device.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, rng=0)
    >>> moving = nnx.callbacks.MoveBackend({2: "array-api-strict"})
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.Adam(model), callbacks=[moving])
    >>> _ = trainer.fit((np.ones((4, 1), np.float32),), epochs=2)
    >>> type(model.weight).__module__.partition(".")[0]
    'array_api_strict'
    """

    def __init__(self, places: Mapping[int, str]) -> None:
        if not isinstance(places, Mapping):
            raise ArgumentError(f'expected places by epoch from 1, such as {{2: "torch"}}, got {places!r}')
        for epoch, place in places.items():
            if not isinstance(epoch, int) or epoch < 1 or not isinstance(place, str):
                raise ArgumentError(
                    f'expected places by epoch from 1, such as {{2: "torch"}}, got {epoch!r}: {place!r}'
                )
        self.places = dict(sorted(places.items()))

    def on_fit_start(self, trainer: Trainer) -> None:
        """Move where a run that is resumed belongs."""
        self._move(trainer)

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Move before an epoch."""
        self._move(trainer)

    def _move(self, trainer: Trainer) -> None:
        place = next((p for epoch, p in reversed(self.places.items()) if epoch <= trainer.epoch + 1), None)
        if place is not None and place != trainer.device:
            trainer.to(place)
