"""The history of a training run: a row of metrics per epoch, and the best model so far."""

import csv
import math
import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from typing import Any, NamedTuple

from nnx.errors import DataError


@dataclass(frozen=True)
class EpochRow:
    """The metrics of one epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    loss, accuracy : float
        Over the batches of the epoch, each with the weights of its time. Weighted by samples, so that a short last
        batch counts less.
    validation_loss, validation_accuracy : float or None
        With the weights at the end of the epoch; ``None`` without validation.
    seconds : float
        The time of the epoch, including validation.
    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger for a better model: by validation accuracy, then validation loss, or by those of training."""
        if self.validation_loss is None or self.validation_accuracy is None:
            return self.accuracy, -self.loss
        return self.validation_accuracy, -self.validation_loss


class Best(NamedTuple):
    """The best model so far: its epoch's metrics, and its :meth:`nnx.Module.state_dict`."""

    row: EpochRow
    state: Mapping[str, Any]


_COLUMNS = [column.name for column in fields(EpochRow)]
_OPTIONAL = ("validation_loss", "validation_accuracy")


@dataclass
class History:
    """The rows of a run, and its best model.

    Attributes
    ----------
    rows : list of EpochRow
    best : Best or None
        The first of the best epochs; ``None`` before the first epoch has ended, and after :meth:`read_csv`.

    Examples
    --------
    >>> history = History()
    >>> history.add(EpochRow(1, 0.9, 0.5, 0.8, 0.6, 0.1), {})
    True
    >>> history.add(EpochRow(2, 0.7, 0.7, 0.9, 0.5, 0.1), {})
    False
    >>> history.best.row.epoch
    1
    """

    rows: list[EpochRow] = field(default_factory=list)
    best: Best | None = None

    def add(self, row: EpochRow, state: Mapping[str, Any]) -> bool:
        """Append an epoch and return whether it is the best so far; if so, ``state`` is held, not copied.

        Training never writes into an array that someone else holds, so a reference keeps the values.
        """
        improved = self.best is None or row.rank > self.best.row.rank
        if improved:
            self.best = Best(row, state)
        self.rows.append(row)
        return improved

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as a CSV file: a header, then a line per epoch. Floats are read back exactly."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(astuple(row) for row in self.rows)  # None becomes an empty cell

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> "History":
        """Read what :meth:`write_csv` wrote.

        Raises
        ------
        DataError
            If the columns are different, or a cell is not a number.
        OSError
            If the file cannot be opened.
        """
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        header = lines[0] if lines else []
        if header != _COLUMNS:
            raise DataError(f"{path}: expected the columns {','.join(_COLUMNS)}, got {','.join(header) or 'none'}")
        return cls([_parse(path, number, cells) for number, cells in enumerate(lines[1:], start=2)])

    def column(self, name: str) -> list[float]:
        """Return one metric of all epochs, with NaN where it is missing.

        Examples
        --------
        >>> History([EpochRow(1, 0.9, 0.5, None, None, 0.1)]).column("loss")
        [0.9]
        """
        values = (getattr(row, name) for row in self.rows)
        return [math.nan if value is None else value for value in values]


def _parse(path: str | os.PathLike[str], number: int, cells: list[str]) -> EpochRow:
    try:
        named = dict(zip(_COLUMNS, cells, strict=True))
        values = {
            name: None if name in _OPTIONAL and not cell else float(cell)
            for name, cell in named.items()
            if name != "epoch"
        }
        return EpochRow(epoch=int(named["epoch"]), **values)  # type: ignore[arg-type]  # only optional ones are None
    except ValueError as error:
        raise DataError(f"{path}, line {number}: expected {len(_COLUMNS)} numbers, got {cells} ({error})") from error
