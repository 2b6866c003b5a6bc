"""The sigmoid and its derivative: why a squared error after a sigmoid or softmax learns slowly.

The derivative, which nnx.vjp computes from the function alone, is s(x) (1 - s(x)). Expect a maximum of 1/4 at x = 0,
and values that fall towards 0 on both sides: any gradient that goes back through a sigmoid gets at least four times
smaller. In three_losses.py this is what makes the squared error of the softmax the slowest.
"""

import numpy as np

import nnx
from options import option_parser
from plotting import BLUE, ORANGE, label, new_figure, save_figure


def main():
    arguments = option_parser(__doc__).parse_args()

    x = np.linspace(-8.0, 8.0, 1601)
    y, pullback = nnx.vjp(nnx.functional.sigmoid, x)
    (derivative,) = pullback(np.ones_like(y))  # elementwise, so ones give the derivative at each x

    largest = derivative.argmax()
    print(f"largest derivative: {derivative[largest]:.6f} at x = {x[largest] + 0.0:.2f}")
    print(f"derivative at x = 6: {nnx.grad(nnx.functional.sigmoid)(np.asarray(6.0)):.6f}")
    print(f"largest difference from s(x) (1 - s(x)): {abs(derivative - y * (1 - y)).max():.1e}")

    figure, axes = new_figure()
    axes.plot(x, y, color=BLUE)
    axes.plot(x, derivative, color=ORANGE)
    axes.plot(0, 0.25, "o", color=ORANGE)
    label(axes, 2, y[1000], "sigmoid  s(x)", BLUE, xytext=(10, -6))
    label(axes, 2, derivative[1000], "derivative  s(x) (1 - s(x))", ORANGE, xytext=(10, 6))
    label(axes, 0, 0.25, "1/4", ORANGE, xytext=(0, 8), ha="center", va="bottom")
    axes.set(title="At best, a sigmoid shrinks the gradient to a quarter", xlabel="x", xlim=(-8, 8))
    save_figure(figure, arguments.out, "sigmoid_derivative")


if __name__ == "__main__":
    main()
