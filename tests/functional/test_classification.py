"""Cross-entropy over all of its options at once, against PyTorch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.testing import assert_close


@dataclass
class Case:
    logits: Any
    target: Any
    weight: Any
    axis: int
    options: dict[str, Any]


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, classes = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    rest = draw(st.sampled_from([(), (1,), (3,), (2, 1), (2, 3, 2)]))
    axis = draw(st.sampled_from([1, -1]))
    shape = (batch, classes, *rest) if axis == 1 else (batch, *rest, classes)
    options = {
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.9])),
    }
    logits = rng.normal(scale=draw(st.sampled_from([1.0, 100.0])), size=shape)
    weight = draw(st.sampled_from([None, rng.uniform(0.1, 2.0, classes)]))
    kind = draw(st.sampled_from(["indices", "one-hot", "probabilities"]))
    index = rng.integers(classes, size=(batch, *rest))
    if kind == "indices":
        ignored = options["ignore_index"] = draw(st.sampled_from([-100, 0, 255]))
        target = np.where(rng.random(index.shape) < draw(st.sampled_from([0.0, 0.5, 1.0])), ignored, index)
    else:
        rows = np.eye(classes)[index] if kind == "one-hot" else rng.dirichlet(np.ones(classes), size=index.shape)
        target = np.moveaxis(rows, -1, axis)
    return Case(logits, target, weight, axis, options)


@given(cases())
@settings(max_examples=60)
def test_cross_entropy_with_any_options_is_that_of_pytorch(xp, case):
    if xp.name == "jax":
        pytest.skip("JAX compiles each operation for each shape")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    logits, target = torch.tensor(case.logits, requires_grad=True), torch.tensor(case.target)
    expected = torch.nn.functional.cross_entropy(
        torch.movedim(logits, case.axis, 1),
        torch.movedim(target, case.axis, 1) if target.is_floating_point() else target,
        None if case.weight is None else torch.tensor(case.weight),
        **case.options,
    )
    ignored = bool((target == case.options.get("ignore_index", -100)).all())
    if ignored:  # PyTorch's mean of nothing is NaN
        expected = torch.nan_to_num(expected)
    gradient = torch.autograd.grad(expected.sum(), logits)[0] if not ignored else 0.0 * logits
    x, weight = xp.asarray(case.logits, "float64"), case.weight
    target = xp.asarray(case.target, "int64" if case.target.dtype.kind == "i" else "float64")
    weight = None if weight is None else xp.asarray(weight, "float64")
    value, pullback = nnx.vjp(lambda x: F.cross_entropy(x, target, weight, axis=case.axis, **case.options), x)
    assert_close(nnx.to_numpy(value), expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    found = pullback(nnx.namespace(value).ones_like(value))[0]
    assert_close(nnx.to_numpy(found), gradient.detach().numpy(), rtol=1e-9, atol=1e-12)
