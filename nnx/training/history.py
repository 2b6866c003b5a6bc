"""The history of a training run: a row of metrics for each epoch."""

import csv
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnx.errors import ArgumentError, DataError
from nnx.functional.checks import counted, nearest

Row = dict[str, float]
"""The metrics of an epoch by name: ``epoch`` from 1, ``loss``, ``accuracy``, ``validation_loss`` and so on."""

_SMALLER_IS_BETTER = re.compile(r"(loss|error|perplexity)$")


def is_smaller_better(name: str) -> bool:
    """Return whether a metric measures what is wrong: a loss, an error or a perplexity, by its name."""
    return bool(_SMALLER_IS_BETTER.search(name))


@dataclass
class History:
    """The rows of a run.

    A row has the loss and the metrics of the epoch's samples, as of one batch, but each with the weights of its time;
    and, under ``validation_...``, those of the validation data with the weights at the end of the epoch. Times are not
    part of it, so that a run that is repeated has the same history.

    Attributes
    ----------
    rows : list of dict from name to number

    Examples
    --------
    >>> history = History()
    >>> history.add({"epoch": 1, "loss": 0.9, "accuracy": 0.5})
    >>> history.add({"epoch": 2, "loss": 0.7, "accuracy": 0.5})
    >>> history.column("loss")
    [0.9, 0.7]
    >>> history.best("loss")["epoch"], history.best("accuracy")["epoch"]
    (2, 1)
    """

    rows: list[Row] = field(default_factory=list)

    def add(self, row: Mapping[str, float]) -> None:
        """Append the metrics of an epoch."""
        self.rows.append(dict(row))

    @property
    def names(self) -> list[str]:
        """The names of all metrics, in the order in which they first appear."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def column(self, name: str) -> list[float]:
        """Return a metric of all epochs, NaN where a row does not have it."""
        return [row.get(name, math.nan) for row in self.rows]

    def best(self, monitor: str | Sequence[str] | None = None) -> Row | None:
        """Return the best row, the first of equals, or ``None`` before the first epoch.

        Parameters
        ----------
        monitor : str or sequence of str, optional
            What decides: a metric, and others that decide between equal rows. Of losses, errors and perplexities the
            smallest is the best, of other metrics the largest. Default the loss, if there is one that of validation.

        Raises
        ------
        ArgumentError
            If there is no such metric.
        """
        if not self.rows:
            return None
        names = monitored(monitor, self.names)
        return max(self.rows, key=lambda row: rank(row, names))

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as a CSV file: a header, then a line per epoch. Floats are read back exactly."""
        names = self.names
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([row.get(name) for name in names] for row in self.rows)  # None becomes an empty cell

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> "History":
        """Read what :meth:`write_csv` wrote.

        Raises
        ------
        DataError
            If the first column is not ``epoch``, or a cell is not a number.
        OSError
            If the file cannot be opened.
        """
        try:
            with open(path, newline="", encoding="utf-8") as file:
                lines = list(csv.reader(file))
        except (csv.Error, ValueError) as error:
            raise DataError(f"{path}: expected a history as CSV, got another file ({error})") from error
        header = lines[0] if lines else []
        if lines and header and (header[0] != "epoch" or len(set(header)) < len(header)):
            raise DataError(f"{path}: expected columns epoch, loss and other metrics, got {','.join(header)[:80]}")
        return cls([_parse_row(path, number, header, line) for number, line in enumerate(lines[1:], start=2)])


def monitored(monitor: str | Sequence[str] | None, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the metrics that decide which row is the best, of rows with such columns.

    Raises
    ------
    ArgumentError
        If there is no such metric.
    """
    names = (monitor,) if isinstance(monitor, str) else tuple(monitor or ())
    if not names:
        names = ("validation_loss" if "validation_loss" in columns else "loss",)
    if unknown := [name for name in names if name not in columns]:
        needs_data = str(unknown[0]).startswith("validation_") and "validation_loss" not in columns
        near = nearest(re.sub("^val_", "validation_", str(unknown[0])), columns)
        advice = "; give fit the validation data" if needs_data else near
        raise ArgumentError(f"expected a metric of this run to monitor, {', '.join(columns)}, got {unknown[0]}{advice}")
    return names


def rank(row: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    """Return a key that is larger for a better row; one without the metric, or with NaN, is the worst."""
    values = [row.get(name, math.nan) for name in names]
    signed = [-value if is_smaller_better(name) else value for name, value in zip(names, values, strict=True)]
    return tuple(-math.inf if math.isnan(value) else value for value in signed)


def _parse_row(path: Any, number: int, header: Sequence[str], line: Sequence[str]) -> Row:
    try:
        cells = dict(zip(header, line, strict=True))
        return {
            name: int(cell) if name == "epoch" else float(cell)
            for name, cell in cells.items()
            if cell or name == "epoch"
        }
    except ValueError as error:
        raise DataError(
            f"{path}, line {number}: expected {counted(len(header), 'number')}, got {','.join(line)[:80]!r}"
        ) from error
