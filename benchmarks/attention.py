"""Attention against PyTorch's: a forward pass, and a step with its gradients, each on its own library's arrays.

Run with ``OMP_NUM_THREADS=1``. PyTorch is held to one thread too.
"""

import numpy as np
from measure import ratio, settle_allocator

import nnx

CASES = [(16, 8, time, 32, is_causal) for time in (128, 256, 512, 1024) for is_causal in (False, True)]


def forward_of_nnx(query, key, value, is_causal):
    return lambda: nnx.functional.attention(query, key, value, is_causal=is_causal)


def step_of_nnx(query, key, value, is_causal):
    def step():
        y, pullback = nnx.vjp(lambda *args: nnx.functional.attention(*args, is_causal=is_causal), query, key, value)
        pullback(y)

    return step


def forward_of_torch(torch, query, key, value, is_causal):
    arrays = [torch.tensor(x) for x in (query, key, value)]
    return lambda: torch.nn.functional.scaled_dot_product_attention(*arrays, is_causal=is_causal)


def step_of_torch(torch, query, key, value, is_causal):
    arrays = [torch.tensor(x, requires_grad=True) for x in (query, key, value)]

    def step():
        y = torch.nn.functional.scaled_dot_product_attention(*arrays, is_causal=is_causal)
        torch.autograd.grad(y, arrays, y.detach())

    return step


def main():
    """Print the table."""
    import torch

    torch.set_num_threads(1)
    settle_allocator()
    rng = np.random.default_rng(0)
    print(f"{'batch, heads, time, features':30}{'causal':8}{'what':10}{'nnx ms':>8}{'torch ms':>10}{'ratio':>7}")
    for *shape, is_causal in CASES:
        arrays = [rng.normal(size=shape).astype("float32") for _ in range(3)]
        for what, ours, theirs in (("forward", forward_of_nnx, forward_of_torch), ("step", step_of_nnx, step_of_torch)):
            of_both, a, b = ratio(ours(*arrays, is_causal), theirs(torch, *arrays, is_causal), rounds=7)
            print(f"{shape!s:30}{is_causal!s:8}{what:10}{a * 1e3:8.1f}{b * 1e3:10.1f}{of_both:7.2f}")


if __name__ == "__main__":
    main()
