"""The floor: what a step cannot avoid, the matrix products and one pass over parameters and state, in NumPy's BLAS."""

import itertools
import math
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.timing import seconds, turn
from benchmarks.workload import Step, Task


class Product(NamedTuple):
    """A product of (rows, inner) by (inner, columns) matrices, done ``count`` times.

    ``parameter`` says which of the three, 0, 1 or the output 2, is a parameter or the gradient of one, if any.
    """

    rows: int
    inner: int
    columns: int
    count: int = 1
    parameter: int | None = None


def linear_products(rows: int, features_in: int, features_out: int, *, first: bool = False, count: int = 1) -> list:
    """Return the products of a linear map, forward and backward; the first layer needs no gradient of its input."""
    forward = Product(rows, features_in, features_out, count, 1)
    of_weight = Product(features_in, rows, features_out, count, 2)
    of_input = Product(rows, features_out, features_in, count, 1)
    return [forward, of_weight] if first else [forward, of_weight, of_input]


def floor_step(products: Iterable[Product], arrays: Sequence[np.ndarray] = ()) -> Step:
    """Return a step of nothing but products, into memory that is there, and a read and write of each array.

    Parameters and their gradients have memory of their own. All other matrices share one piece: what a layer multiplies
    has just been written by the one before it, so that a step need not wait for it to come from beyond the caches.
    """
    products = list(products)
    memory = _Memory(products)
    ready = [(product.count, *memory.fastest(product)) for product in products]
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


def _shapes(product: Product) -> tuple[tuple[int, int], ...]:
    rows, inner, columns, *_ = product
    return (rows, inner), (inner, columns), (rows, columns)


class _Memory:
    """Memory for two matrices and their product, of the largest of some products."""

    def __init__(self, products: Sequence[Product]):
        rng = np.random.default_rng(0)
        largest = [max(map(math.prod, shapes)) for shapes in zip(*map(_shapes, products), strict=True)]
        self._parts = [rng.standard_normal(size, dtype=np.float32) for size in largest]

    def fastest(self, product: Product) -> list[np.ndarray]:
        """Return the three as views, each stored by rows or by columns as BLAS is fastest at."""
        return min(map(partial(self._views, product), itertools.product("CF", repeat=3)), key=_time_of)

    def _views(self, product: Product, orders: Sequence[str]) -> list[np.ndarray]:
        found = []
        for number, (part, shape) in enumerate(zip(self._parts, _shapes(product), strict=True)):
            flat = part[: math.prod(shape)]
            flat = flat.copy() if number == product.parameter else flat
            found.append(flat.reshape(shape, order=orders[number]))
        return found


def _time_of(matrices: Sequence[np.ndarray]) -> float:
    a, b, out = matrices
    product = partial(np.matmul, a, b, out=out)
    repeat = max(1, round(2e-3 / max(seconds(product, time.process_time), 1e-6)))
    return min(turn(product, repeat, time.process_time) for _ in range(5))
