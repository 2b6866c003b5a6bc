"""Recurrent layers against PyTorch's: a forward pass, and a step with its gradients, of one layer.

``nnx`` computes on NumPy arrays, ``nnx on torch`` on torch's. Run with ``OMP_NUM_THREADS=1``; PyTorch is held to one
thread too.
"""

import numpy as np
from timing import ratio

import nnx

SIZES = [(32, 64, 128, 128), (64, 128, 128, 128)]


def arrays_of(layer, x):
    """Return the arguments of nnx's function for a layer of PyTorch, as NumPy arrays."""
    weights = [layer.weight_ih_l0.T, layer.weight_hh_l0.T, layer.bias_ih_l0, layer.bias_hh_l0]
    return [np.ascontiguousarray(part.detach().numpy()) for part in (x, *weights)]


def step_of_nnx(function, arrays, cotangent):
    def step():
        _, pullback = nnx.vjp(lambda *args: function(*args)[0], *arrays)
        pullback(cotangent)

    return step


def main():
    """Print the table."""
    import torch

    torch.set_num_threads(1)
    nnx.backend.keep_freed_memory()
    print(f"{'layer':6}{'batch, time, in, hidden':26}{'what':24}{'nnx ms':>8}{'torch ms':>10}{'ratio':>7}")
    for kind in ("LSTM", "GRU", "RNN"):
        function = getattr(nnx.functional, kind.lower())
        for size in SIZES:
            batch, time, features, hidden = size
            layer = getattr(torch.nn, kind)(features, hidden, batch_first=True)
            x = torch.randn(batch, time, features, requires_grad=True)
            cotangent = torch.randn(batch, time, hidden)
            arrays = arrays_of(layer, x)
            leaves = [x, *layer.parameters()]

            def forward_of_torch(layer=layer, x=x):
                with torch.no_grad():
                    layer(x)

            def step_of_torch(layer=layer, x=x, leaves=leaves, cotangent=cotangent):
                torch.autograd.grad(layer(x)[0], leaves, cotangent)

            on_torch = [torch.from_numpy(array) for array in arrays]
            rows = (
                ("forward", lambda f=function, a=arrays: f(*a), forward_of_torch),
                ("step", step_of_nnx(function, arrays, cotangent.numpy()), step_of_torch),
                ("step, nnx on torch", step_of_nnx(function, on_torch, cotangent), step_of_torch),
            )
            for what, ours, theirs in rows:
                of_both, a, b = ratio(ours, theirs, rounds=7)
                print(f"{kind:6}{size!s:26}{what:24}{a * 1e3:8.1f}{b * 1e3:10.1f}{of_both:7.2f}")


if __name__ == "__main__":
    main()
