"""The floor: what a step cannot avoid, the matrix products and one pass over parameters and state, in NumPy's BLAS."""

import itertools
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.timing import seconds, turn
from benchmarks.workload import Step, Task


class Product(NamedTuple):
    """A product of (rows, inner) by (inner, columns) matrices, done ``count`` times."""

    rows: int
    inner: int
    columns: int
    count: int = 1


def linear_products(rows: int, features_in: int, features_out: int, *, first: bool = False, count: int = 1) -> list:
    """Return the products of a linear map, forward and backward; the first layer needs no gradient of its input."""
    forward = Product(rows, features_in, features_out, count)
    of_weight = Product(features_in, rows, features_out, count)
    of_input = Product(rows, features_out, features_in, count)
    return [forward, of_weight] if first else [forward, of_weight, of_input]


def floor_step(products: Iterable[Product], arrays: Sequence[np.ndarray] = ()) -> Step:
    """Return a step of nothing but products, into memory that is there, and a read and write of each array."""
    ready = [(product.count, *_fastest(*product[:3])) for product in products]
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


def _fastest(rows: int, inner: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two matrices and the memory of their product, each stored by rows or by columns as BLAS is fastest at."""
    rng = np.random.default_rng(0)
    shapes = (rows, inner), (inner, columns), (rows, columns)
    matrices = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
    found = []
    for orders in itertools.product("CF", repeat=3):
        a, b, out = (np.asarray(matrix, order=order) for matrix, order in zip(matrices, orders, strict=True))
        product = partial(np.matmul, a, b, out=out)
        repeat = max(1, round(2e-3 / max(seconds(product, time.process_time), 1e-6)))
        took = min(turn(product, repeat, time.process_time) for _ in range(5))
        found.append((took, orders))
    orders = min(found)[1]
    return tuple(np.array(matrix, order=order) for matrix, order in zip(matrices, orders, strict=True))
