"""What loops do with rows. Reductions of one have eight chains: in one, each step would wait for the one before it."""

from typing import Any

from nnx.kernels.numba.compiling import compiled, inlined


@inlined
def largest(x: Any) -> Any:
    """Return the largest number of a row, which is not empty; NaN if that is the first one."""
    most = x[0]
    done = 0
    if x.size >= 16:
        a = b = c = d = e = f = g = h = most
        for k in range(x.size // 8):
            part = x[8 * k : 8 * k + 8]
            a = part[0] if part[0] > a else a
            b = part[1] if part[1] > b else b
            c = part[2] if part[2] > c else c
            d = part[3] if part[3] > d else d
            e = part[4] if part[4] > e else e
            f = part[5] if part[5] > f else f
            g = part[6] if part[6] > g else g
            h = part[7] if part[7] > h else h
        most = max(a, b, c, d, e, f, g, h)
        done = x.size // 8 * 8
    for value in x[done:]:
        most = value if value > most else most
    return most


@inlined
def total(x: Any) -> Any:
    """Return the sum of a row."""
    whole = x.dtype.type(0)
    done = 0
    if x.size >= 16:
        a = b = c = d = e = f = g = h = whole
        for k in range(x.size // 8):
            part = x[8 * k : 8 * k + 8]
            a += part[0]
            b += part[1]
            c += part[2]
            d += part[3]
            e += part[4]
            f += part[5]
            g += part[6]
            h += part[7]
        whole = ((a + b) + (c + d)) + ((e + f) + (g + h))
        done = x.size // 8 * 8
    for value in x[done:]:
        whole += value
    return whole


@inlined
def total_of_products(x: Any, y: Any) -> Any:
    """Return the sum of the products of two rows."""
    whole = x.dtype.type(0)
    done = 0
    if x.size >= 16:
        a = b = c = d = e = f = g = h = whole
        for k in range(x.size // 8):
            p, q = x[8 * k : 8 * k + 8], y[8 * k : 8 * k + 8]
            a += p[0] * q[0]
            b += p[1] * q[1]
            c += p[2] * q[2]
            d += p[3] * q[3]
            e += p[4] * q[4]
            f += p[5] * q[5]
            g += p[6] * q[6]
            h += p[7] * q[7]
        whole = ((a + b) + (c + d)) + ((e + f) + (g + h))
        done = x.size // 8 * 8
    for i in range(done, x.size):
        whole += x[i] * y[i]
    return whole


@compiled
def add_row(x: Any, row: Any) -> None:
    """Add ``row`` to each row of ``x``."""
    for i in range(x.shape[0]):
        own = x[i]
        for j in range(own.size):
            own[j] += row[j]


@compiled
def sum_of_rows(x: Any, out: Any) -> None:
    """Write the sum of the rows of ``x`` into ``out``."""
    out[:] = 0
    fours = x.shape[0] // 4
    for k in range(fours):
        a, b, c, d = x[4 * k], x[4 * k + 1], x[4 * k + 2], x[4 * k + 3]
        for j in range(out.size):
            out[j] += (a[j] + b[j]) + (c[j] + d[j])
    for i in range(4 * fours, x.shape[0]):
        row = x[i]
        for j in range(out.size):
            out[j] += row[j]
