"""Read batches ahead of use, in threads, without changing their order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from typing import Any


def read_ahead(
    read: Callable[[int], Any], numbers: Iterable[int], workers: int, ahead: int
) -> Generator[Any, None, None]:
    """Yield ``read(number)`` for each number in order, computed in threads while the consumer works.

    The threads end when the iterator is exhausted, closed or collected, and when an exception passes through it, such
    as a KeyboardInterrupt. Each call sees the context variables of the consumer, so that the selected backend is the
    same there.

    Parameters
    ----------
    read : callable
        What it raises is raised here, when its turn comes.
    numbers : iterable of int
    workers : int
        The number of threads; 0 reads each batch when it is asked for, and needs no thread.
    ahead : int
        How many batches are read or being read beyond the one that the consumer has.

    Examples
    --------
    >>> list(read_ahead(lambda number: number**2, range(5), workers=2, ahead=3))
    [0, 1, 4, 9, 16]
    """
    if not workers:
        yield from map(read, numbers)
        return
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and only this needs it

    pool = ThreadPoolExecutor(workers, thread_name_prefix="nnx-data")
    waiting: deque[Any] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(copy_context().run, read, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        waiting.clear()
        pool.shutdown(cancel_futures=True)
