"""Time a convolution, forward and all gradients: nnx on NumPy arrays, and nnx over torch arrays, against PyTorch.

Times are of the processor, in one thread: ``OMP_NUM_THREADS=1 python benchmarks/convolution.py``.
"""

import time

import numpy as np
import torch
from timing import ratio

import nnx

# Name, batch, channels, height and width, output channels, kernel, options.
CASES = [
    ("LeNet, first layer", 64, 1, 28, 8, 5, {"padding": 2}),
    ("LeNet, second layer", 64, 8, 14, 16, 5, {"padding": 2}),
    ("1 to 32 channels, 3 x 3", 64, 1, 28, 32, 3, {"padding": 1}),
    ("16 channels, 28 x 28", 64, 16, 28, 16, 3, {"padding": 1}),
    ("32 channels, 14 x 14", 64, 32, 14, 32, 3, {"padding": 1}),
    ("the same, channels last", 64, 32, 14, 32, 3, {"padding": 1, "layout": "NHWC"}),
    ("32 to 64 channels, stride 2", 64, 32, 14, 64, 3, {"padding": 1, "stride": 2}),
    ("64 channels, 7 x 7", 64, 64, 7, 64, 3, {"padding": 1}),
    ("64 channels, 56 x 56", 4, 64, 56, 64, 3, {"padding": 1}),
    ("1 x 1, 64 to 128 channels", 64, 64, 14, 128, 1, {}),
    ("depthwise, 32 channels", 64, 32, 14, 32, 3, {"padding": 1, "groups": 32}),
    ("a single small image", 1, 3, 8, 4, 3, {"padding": 1}),
]


def arrays(batch, channels, size, out, kernel, options):
    """Return x, weight, bias and the cotangent of the output, as NumPy arrays with channels first."""
    rng = np.random.default_rng(0)
    stride, padding = options.get("stride", 1), options.get("padding", 0)
    height = (size + 2 * padding - kernel) // stride + 1
    shapes = [
        (batch, channels, size, size),
        (out, channels // options.get("groups", 1), kernel, kernel),
        (out,),
        (batch, out, height, height),
    ]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def step_of_nnx(x, weight, bias, g, options):
    """Return a function that computes the output and three gradients."""

    def step():
        y, pullback = nnx.vjp(lambda *args: nnx.functional.convolution(*args, **options), x, weight, bias)
        return y, *pullback(g)

    return step


def step_of_torch(x, weight, bias, g, options):
    """Return the same in PyTorch, which takes its own channels-last memory for that layout."""
    options = dict(options)
    options.pop("layout", None)

    def step():
        leaves = [a.detach().requires_grad_() for a in (x, weight, bias)]
        y = torch.nn.functional.conv2d(*leaves, **options)
        return y, *torch.autograd.grad(y, leaves, g)

    return step


def main():
    """Print a row for each case."""
    nnx.backend.keep_freed_memory()
    torch.set_num_threads(1)
    print(f"{'case':30} {'torch ms':>9} {'numpy/torch':>12} {'over torch/torch':>17}")
    for name, *sizes, options in CASES:
        x, weight, bias, g = arrays(*sizes, options)
        of_torch = [torch.asarray(a) for a in (x, weight, bias, g)]
        last = options.get("layout") == "NHWC"
        if last:
            x, g = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, g))
        over = [torch.asarray(a) for a in (x, weight, bias, g)]
        if last:
            of_torch = [a.contiguous(memory_format=torch.channels_last) if a.ndim == 4 else a for a in of_torch]
        theirs = step_of_torch(*of_torch, options)
        on_numpy, _, _ = ratio(step_of_nnx(x, weight, bias, g, options), theirs, 15, time.process_time)
        on_torch, _, base = ratio(step_of_nnx(*over, options), theirs, 15, time.process_time)
        print(f"{name:30} {1e3 * base:9.3f} {on_numpy:12.2f} {on_torch:17.2f}")


if __name__ == "__main__":
    main()
