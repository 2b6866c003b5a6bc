"""The floor: what a step cannot avoid, the matrix products and one pass over parameters and state, in NumPy's BLAS."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.workload import Step, Task


class Product(NamedTuple):
    """A product of (rows, inner) by (inner, columns) matrices, done ``count`` times; either may be given transposed."""

    rows: int
    inner: int
    columns: int
    count: int = 1
    is_first_transposed: bool = False
    is_second_transposed: bool = False


def linear_products(rows: int, features_in: int, features_out: int, *, first: bool = False, count: int = 1) -> list:
    """Return the products of a linear map, forward and backward; the first layer needs no gradient of its input."""
    forward = Product(rows, features_in, features_out, count)
    of_weight = Product(features_in, rows, features_out, count, is_first_transposed=True)
    of_input = Product(rows, features_out, features_in, count, is_second_transposed=True)
    return [forward, of_weight] if first else [forward, of_weight, of_input]


def floor_step(products: Iterable[Product], arrays: Sequence[np.ndarray] = ()) -> Step:
    """Return a step of nothing but products, into memory that is there, and a read and write of each array."""
    ready = [(product.count, *_operands(product)) for product in products]
    arrays = [array.copy() for array in arrays]

    def step():
        for count, a, b, out in ready:
            for _ in range(count):
                np.matmul(a, b, out=out)
        for array in arrays:
            np.multiply(array, 1.0, out=array)

    return step


def training_floor(task: Task) -> Step:
    """Return the floor of a training step."""
    weights = list(task.weights.values())
    return floor_step(task.products, [array for array in weights for _ in range(1 + task.rule.state_size)])


def _operands(product: Product) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int, is_transposed: bool) -> np.ndarray:
        shape = (columns, rows) if is_transposed else (rows, columns)
        array = rng.standard_normal(shape, dtype=np.float32)
        return array.T if is_transposed else array

    a = matrix(product.rows, product.inner, product.is_first_transposed)
    b = matrix(product.inner, product.columns, product.is_second_transposed)
    return a, b, np.empty((product.rows, product.columns), np.float32)
