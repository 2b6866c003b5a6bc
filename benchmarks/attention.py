"""Attention against PyTorch's: forward, and forward with all gradients; on NumPy arrays, and on torch's own.

Run with ``OMP_NUM_THREADS=1``. PyTorch is held to one thread too.
"""

import numpy as np
from timing import ratio

import nnx

CASES = [(16, 8, time, 32) for time in (64, 128, 256, 512, 1024)]
ROUNDS = 9


def forward_of_nnx(arrays, is_causal):
    """Return a forward pass."""
    return lambda: nnx.functional.attention(*arrays, is_causal=is_causal)


def step_of_nnx(arrays, is_causal):
    """Return a forward and a backward pass."""

    def step():
        y, pullback = nnx.vjp(lambda *args: nnx.functional.attention(*args, is_causal=is_causal), *arrays)
        pullback(y)

    return step


def forward_of_torch(arrays, is_causal):
    """Return PyTorch's forward pass."""
    import torch

    return lambda: torch.nn.functional.scaled_dot_product_attention(*arrays, is_causal=is_causal)


def step_of_torch(arrays, is_causal):
    """Return PyTorch's forward and backward pass."""
    import torch

    leaves = [x.clone().requires_grad_() for x in arrays]

    def step():
        y = torch.nn.functional.scaled_dot_product_attention(*leaves, is_causal=is_causal)
        torch.autograd.grad(y, leaves, y.detach())

    return step


def main():
    """Print the table."""
    import torch

    torch.set_num_threads(1)
    nnx.backend.keep_freed_memory()
    rng = np.random.default_rng(0)
    print(f"{'batch, heads, time, features':30}{'':8}{'':9}{'torch ms':>10}{'numpy/torch':>13}{'over torch/torch':>18}")
    for shape in CASES:
        arrays = [rng.normal(size=shape).astype("float32") for _ in range(3)]
        of_torch = [torch.tensor(x) for x in arrays]
        for is_causal in (False, True):
            for what, ours, theirs in (
                ("forward", forward_of_nnx, forward_of_torch),
                ("step", step_of_nnx, step_of_torch),
            ):
                reference = theirs(of_torch, is_causal)
                on_numpy, _, time = ratio(ours(arrays, is_causal), reference, ROUNDS)
                on_torch, _, _ = ratio(ours(of_torch, is_causal), reference, ROUNDS)
                case = f"{shape!s:30}{'causal' if is_causal else '':8}{what:9}"
                print(f"{case}{time * 1e3:10.2f}{on_numpy:13.2f}{on_torch:18.2f}")


if __name__ == "__main__":
    main()
