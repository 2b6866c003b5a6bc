"""Matrix multiplication: three loops against one call of the array library.

The loops are the definition, c_ij = sum over k of a_ik b_kj, word for word. The call ends up in BLAS, which does the
same sums in blocks that fit the processor's caches, several numbers per instruction. Both take n^3 multiplications,
but expect the call to be thousands of times faster from n = 32 on, and the results to agree up to rounding. That is
why nnx builds its layers from matrix products.
"""

import time

import numpy as np

from options import option_parser
from plotting import BLUE, ORANGE, label, new_figure, save_figure


def three_loops(A, B):
    """Multiply an (n, m) and an (m, l) matrix by the definition."""
    (n, m), (_, l) = A.shape, B.shape
    C = np.zeros((n, l))
    for i in range(n):
        for j in range(l):
            for k in range(m):
                C[i, j] += A[i, k] * B[k, j]
    return C


def timed(multiply, A, B, repeats):
    """Return the product and the shortest time, since anything else the computer does only makes a call take longer."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        C = multiply(A, B)
        times.append(time.perf_counter() - start)
    return C, min(times)


def main():
    parser = option_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32, 64, 128], help="sizes n of the matrices")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    loop_times, blas_times = [], []
    print(f"{'n':>5}  {'three loops':>12}  {'A @ B':>12}  {'ratio':>8}  largest difference")
    for n in arguments.sizes:
        A, B = rng.standard_normal((n, n)), rng.standard_normal((n, n))
        by_loops, loop_time = timed(three_loops, A, B, repeats=1)
        by_blas, blas_time = timed(np.matmul, A, B, repeats=20)
        loop_times.append(loop_time)
        blas_times.append(blas_time)
        difference = abs(by_loops - by_blas).max()
        times = f"{loop_time * 1e3:>9.2f} ms  {blas_time * 1e3:>9.4f} ms"
        print(f"{n:>5}  {times}  {loop_time / blas_time:>8,.0f}  {difference:.1e}")

    figure, axes = new_figure()
    for times, name, color in ((loop_times, "three loops", ORANGE), (blas_times, "A @ B (BLAS)", BLUE)):
        axes.loglog(arguments.sizes, times, "o-", color=color, base=10)
        label(axes, arguments.sizes[-1], times[-1], name, color, xytext=(8, 0))
    axes.annotate(
        "", (n, blas_time), (n, loop_time), arrowprops={"arrowstyle": "<->", "color": "#9aa1a9", "shrinkA": 7}
    )
    middle = (loop_time * blas_time) ** 0.5
    label(axes, n, middle, f"{loop_time / blas_time:,.0f} times", "#6f7680")
    axes.set(title="Time to multiply two n x n matrices", xlabel="n", ylabel="seconds")
    axes.set_xticks(arguments.sizes, [str(size) for size in arguments.sizes])
    axes.minorticks_off()
    save_figure(figure, arguments.out, "matrix_multiplication")


if __name__ == "__main__":
    main()
