"""Read CSV files of numbers."""

import csv
import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from nnx.data.dataset import Dataset
from nnx.data.files import Path, open_file
from nnx.errors import ArgumentError, DataError

_LONGEST_LINE = 2**20  # bytes
_LARGEST = float(np.finfo(np.float32).max)
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}

Column = int | str


def read_csv(
    path: Path,
    *,
    target: Column | None = None,
    columns: Sequence[Column] | None = None,
    classes: int | Sequence[str] | None = None,
    header: bool = True,
    delimiter: str = ",",
    missing: float | None = None,
    max_bytes: int = 2**30,
) -> Dataset:
    r"""Read a CSV file in UTF-8 as inputs and, if there is one, a target.

    The file is read line by line, so that memory is that of the numbers, four bytes each.

    Parameters
    ----------
    path : str or path
    target : str or int, optional
        The column to predict, by its name or its number from 0.
    columns : sequence of str or int, optional
        The inputs, in this order. By default all columns but the target.
    classes : int or sequence of str, optional
        The target is a class: one of the integers below ``classes``, or one of these words. By default it is a number.
    header : bool
        Whether the first line has the names of the columns.
    delimiter : str
        One character.
    missing : float, optional
        What to put in the place of inputs that are missing: empty, or NA, NaN, null, none or ``?`` in letters of any
        case. By default they are an error. A target must not be missing.
    max_bytes : int
        A file with more numbers than that is refused.

    Returns
    -------
    dataset : Dataset
        ``x``: float32, shape (rows, columns); with a target also ``y``, shape (rows,): float32, or int32 for classes.

    Raises
    ------
    DataError
        With the number of the line: if a field is missing or no finite number, a class is unknown, a line has more or
        fewer fields than the first, is longer than a megabyte, or is not UTF-8. Also if there is no such column, the
        file cannot be read, has no row, or is too large.
    ArgumentError
        If the delimiter is not one character, or there are classes without a target.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w+") as file:
    ...     _ = file.write("length,width,species\n5.1,3.5,setosa\n6.2,2.9,versicolor\n")
    ...     file.flush()
    ...     x, y = read_csv(file.name, target="species", classes=["setosa", "versicolor"]).arrays
    >>> x.shape, y
    ((2, 2), array([0, 1], dtype=int32))
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ArgumentError(f"expected a delimiter of one character, got {delimiter!r}")
    if classes is not None and target is None:
        raise ArgumentError("expected the column of the target with classes, got none; name it")
    x, y = array("f"), array("f" if classes is None else "i")
    with open_file(path, "CSV file") as file:
        names, rows = _names(_rows(file, path, delimiter), path, header)
        labels = [] if target is None else [_find(target, names, path)]
        others = [column for column in range(len(names)) if column not in labels]
        inputs = others if columns is None else [_find(column, names, path) for column in columns]
        label_of = _as_number if classes is None else _class_reader(classes)
        for line, fields in rows:
            where = f"{path}, line {line}"
            if len(fields) != len(names):
                raise DataError(f"{where}: expected {len(names)} fields, as in the first line, got {len(fields)}")
            x.extend(_parsed(fields, inputs, names, where, lambda text: _as_number(text, missing)))
            y.extend(_parsed(fields, labels, names, where, label_of))
            if 4 * (len(x) + len(y)) > max_bytes:
                raise DataError(
                    f"{where}: expected at most {max_bytes} bytes of numbers, got more; "
                    "pass a larger max_bytes, or keep the data in an NPY file and use ArrayFile"
                )
    if not x:
        raise DataError(f"{path}: expected at least one row and one column of inputs, got none")
    table = np.frombuffer(x, np.float32).reshape(-1, len(inputs))
    return Dataset(table, np.frombuffer(y, np.float32 if classes is None else np.int32)) if labels else Dataset(table)


def _rows(file: BinaryIO, path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each row that is not blank, with the number of its last line."""
    reader = csv.reader(_lines(file, path), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: expected fields of CSV, got an error: {error}") from error


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise DataError(f"{path}, line {number}: expected at most {_LONGEST_LINE} bytes, got a longer line")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: expected UTF-8, got the byte {line[error.start]:#x}; save the file as UTF-8"
            ) from error


def _names(
    rows: Iterator[tuple[int, list[str]]], path: Path, header: bool
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the names of the columns, or their numbers if they have none, and the rows that follow."""
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: expected at least one line, got an empty file")
    if not header:
        return [str(number) for number in range(len(first[1]))], itertools.chain([first], rows)
    names = [name.strip() for name in first[1]]
    if all(map(_is_number, names)):
        raise DataError(f"{path}: expected the names of columns in the first line, got numbers; pass header=False")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: expected columns with names of their own, got {twice!r} twice; rename one")
    return names, rows


def _find(column: Column, names: list[str], path: Path) -> int:
    if isinstance(column, str) and column in names:
        return names.index(column)
    if isinstance(column, int) and 0 <= column < len(names):
        return column
    raise DataError(
        f"{path}: expected one of the columns {', '.join(names)}, or a number from 0 to {len(names) - 1}, "
        f"got {column!r}"
    )


def _parsed(
    fields: list[str], columns: list[int], names: list[str], where: str, read: Callable[[str], Any]
) -> Iterator[Any]:
    for column in columns:
        try:
            yield read(fields[column])
        except ValueError as error:
            raise DataError(f"{where}, column {names[column]!r}: {error}") from error


def _as_number(text: str, missing: float | None = None) -> float:
    try:
        value = float(text)
        if abs(value) <= _LARGEST and "_" not in text:
            return value
    except ValueError:
        pass
    if text.strip().lower() not in _MISSING:
        raise ValueError(f"expected a finite number of float32, got {text!r}")
    if missing is None:
        raise ValueError(f"expected a number, got {text!r}; pass missing=..., or take the row out")
    return missing


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _class_reader(classes: int | Sequence[str]) -> Callable[[str], int]:
    words = [str(number) for number in range(classes)] if isinstance(classes, int) else list(classes)
    numbers = {word: number for number, word in enumerate(words)}
    known = ", ".join(words) if len(words) <= 10 else f"{words[0]}, {words[1]}, ..., {words[-1]}"

    def read(text: str) -> int:
        try:
            return numbers[text.strip()]
        except KeyError:
            raise ValueError(f"expected one of the classes {known}, got {text!r}") from None

    return read
