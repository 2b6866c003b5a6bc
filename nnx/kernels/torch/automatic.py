"""Make a kernel of one function in torch: forward, gradients, and the hand-over to the portable body."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from nnx.autodiff import Primitive, Pullback, TracedArray
from nnx.autodiff.dispatch import Declined

Body = Callable[..., Any]
Check = Callable[..., Declined | None]


def native(
    function: Primitive[..., Any], check: Check, *, device: str | None = None, fresh: bool = True
) -> Callable[[Body], Body]:
    """Register a body in torch as the native kernel of a primitive; a decorator.

    Parameters
    ----------
    function : Primitive
        The body takes its arguments and returns its output, an array or a tuple of them.
    check : callable
        Called with the arguments before the body. It raises the portable body's errors, usually by calling the same
        function, and returns :class:`Declined` for what the body does not handle, else ``None``.
    device : {"cpu", "cuda"}, optional
        Default any.
    fresh : bool
        Whether torch's cotangents are new memory. They are not where a derivative is the identity, as that of a sum.
    """

    def register(body: Body) -> Body:
        def rule(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback] | Declined:
            if (declined := check(*args, **options)) is not None:
                return declined
            slots = [i for i, arg in enumerate(args) if wanted[i] and arg is not None]
            if not slots:
                return body(*args, **options), lambda g: (None,) * len(args)
            if torch.is_inference_mode_enabled() or any(map(_is_of_inference, args)):
                return Declined("torch records nothing in its inference mode, and no arrays that were made in it")
            output, torch_pullback = _differentiated(body, slots, args, options)

            def pullback(g: Any) -> Sequence[Any]:
                if type(g) is TracedArray or (type(g) is tuple and TracedArray in map(type, g)):
                    return function.portable_pullback(wanted, *args, **options)(g)
                found: list[Any] = [None] * len(args)
                now = [i for i in slots if wanted[i]]  # it may have been narrowed
                for i, cotangent in zip(now, torch_pullback(g, now), strict=True):
                    found[i] = cotangent
                return found

            return output, pullback

        function.kernel("torch", device=device, fresh=fresh)(rule)
        return body

    return register


def _differentiated(body: Body, slots: Sequence[int], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Return the output of a body, and its pullback for those arguments at the slots that are wanted by then."""

    def of_leaves(*leaves: Any) -> Any:
        found = list(args)
        for i, leaf in zip(slots, leaves, strict=True):
            found[i] = leaf
        return body(*found, **options)

    try:
        leaves = None
        if not any(type(arg) is torch.Tensor and arg.requires_grad for arg in args):
            leaves = [args[i].detach().requires_grad_() for i in slots]
    except RuntimeError:  # a transform of torch.func refuses requires_grad_
        pass
    if leaves is None:  # torch differentiates too: its own transform keeps that derivative, but starts more slowly
        output, pullback = torch.func.vjp(of_leaves, *(args[i] for i in slots))
        return output, lambda g, now: [
            part for i, part in zip(slots, pullback(_filled(g, output)), strict=True) if i in now
        ]
    with torch.enable_grad():
        output = of_leaves(*leaves)
    of_slot = dict(zip(slots, leaves, strict=True))
    is_many = type(output) is tuple
    outputs = output if is_many else (output,)

    def by_autograd(g: Any, now: Sequence[int]) -> Any:
        inputs = [of_slot[i] for i in now]
        pairs = zip(outputs, g if is_many else (g,), strict=True)
        reached = [(o, part) for o, part in pairs if part is not None and o.requires_grad]
        if not reached:  # no argument reached the output, as where all examples are ignored
            return [torch.zeros_like(leaf) for leaf in inputs]
        ends, cotangents = zip(*reached, strict=True)
        return torch.autograd.grad(ends, inputs, cotangents, retain_graph=True, materialize_grads=True)

    detached = tuple([o.detach() for o in outputs])
    return detached if is_many else detached[0], by_autograd


def _filled(g: Any, output: Any) -> Any:
    """Return a cotangent with zeros for those outputs that it did not arrive at."""
    if type(g) is not tuple:
        return g
    return tuple([torch.zeros_like(o) if part is None else part for o, part in zip(output, g, strict=True)])


def _is_of_inference(arg: Any) -> bool:
    return type(arg) is torch.Tensor and arg.is_inference()
