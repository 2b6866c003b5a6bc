"""PyTorch's own samples of its modules: outputs, and gradients of inputs and parameters, are those of PyTorch."""

import re

import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.io.pytorch.tables import PAIRS
from nnx.testing import assert_close

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("expecttest", reason="PyTorch's samples need expecttest")

from torch.testing._internal.common_modules import module_db  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

REFUSED = set()
SAMPLES = {info.name.removeprefix("nn."): info for info in module_db}


NOT_IN_NNX = {
    **{f"MaxPool{n}d": {"return_indices=False"} for n in (1, 2, 3)},
    **{f"AvgPool{n}d": {"divisor_override=None"} for n in (2, 3)},
    **{f"InstanceNorm{n}d": {"track_running_stats=False"} for n in (1, 2, 3)},
    "LSTM": {"proj_size=0"},
    "Softplus": {"threshold=20"},
}
"""Options among the samples that nnx refuses, with an error that says so."""


WITHOUT_THE_AXIS = {"Softmax": {"scalar"}, "LogSoftmax": {"multiparam_scalar"}}
"""Samples of a softmax along an axis that the input does not have, which is an error in nnx."""


def is_differentiable(x):
    return isinstance(x, torch.Tensor) and x.is_floating_point() and x.requires_grad


def as_arrays(tree):
    return pytree.tree_map(lambda x: x.detach().numpy().copy() if isinstance(x, torch.Tensor) else x, tree)


def samples(name, training):
    """Yield a module and the arguments of a call, for each of PyTorch's samples."""
    info = SAMPLES[name]
    torch.manual_seed(0)
    options = {"device": "cpu", "dtype": torch.float64, "requires_grad": True, "training": training}
    for sample in info.module_inputs_func(info, **options):
        made, called = sample.constructor_input, sample.forward_input
        options = {"dtype": torch.float64} if "dtype" in info.module_cls.__init__.__code__.co_varnames else {}
        module = info.module_cls(*made.args, **{**options, **made.kwargs})
        yield module.double().train(training), called.args, called.kwargs, sample.desc


def differentiated(outputs, cotangents, leaves):
    """Return PyTorch's gradients of outputs by leaves, zero where an output does not depend on them."""
    pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
    if not pairs or not leaves:
        return [torch.zeros_like(leaf) for leaf in leaves]
    ys, gs = zip(*pairs, strict=True)
    return torch.autograd.grad(ys, leaves, gs, materialize_grads=True)


def check(module, args, kwargs):
    """Compare a module of PyTorch with its counterpart on one call."""
    try:
        model = nnx.io.from_torch(module)
    except ArgumentError as error:
        REFUSED.add((type(module).__name__, re.search("expected (.*), all that nnx has", str(error))[1]))
        return
    leaves, structure = pytree.tree_flatten((args, kwargs))
    slots = [i for i, leaf in enumerate(leaves) if is_differentiable(leaf)]
    plain = as_arrays(leaves)

    def call(model, *inputs):
        filled = list(plain)
        for i, x in zip(slots, inputs, strict=True):
            filled[i] = x
        args, kwargs = pytree.tree_unflatten(filled, structure)
        return model(*args, **kwargs)

    expected = module(*args, **kwargs)
    found, pullback = nnx.vjp(call, model, *(plain[i] for i in slots))
    if is_mean_of_nothing(module, expected):
        assert float(found) == 0.0
        return
    outputs = [y for y in pytree.tree_leaves(expected) if isinstance(y, torch.Tensor)]
    ours = [y for y in pytree.tree_leaves(found) if nnx.backend.is_array(y)]
    tolerance = {"rtol": 1e-9, "atol": 1e-11, "check_dtype": False}
    assert_close(ours, as_arrays(outputs), **tolerance)
    cotangents = [torch.randn_like(y) for y in outputs]
    parameters = dict(module.named_parameters())
    gradients = differentiated(outputs, cotangents, [leaves[i] for i in slots] + list(parameters.values()))
    of_model, *of_inputs = pullback(as_tree(found, cotangents))
    assert_close(of_inputs, as_arrays(gradients[: len(slots)]), **tolerance)
    of_parameters = nnx.io.to_torch_state_dict(model, of_model)
    assert of_parameters.keys() == parameters.keys()
    for name, gradient in zip(parameters, gradients[len(slots) :], strict=True):
        assert_close(of_parameters[name].numpy(), gradient.numpy(), **tolerance)


def is_mean_of_nothing(module, value):
    """Return whether all examples are ignored: NaN in PyTorch, and 0 in nnx."""
    return hasattr(module, "ignore_index") and module.reduction == "mean" and bool(value.isnan())


def as_tree(found, cotangents):
    leaves, structure = pytree.tree_flatten(found)
    rest = iter(as_arrays(cotangents))
    return pytree.tree_unflatten([next(rest) if nnx.backend.is_array(x) else x for x in leaves], structure)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", sorted((SAMPLES.keys() & PAIRS.keys()) - {"KLDivLoss"}))  # of negative targets: NaN
def test_samples_of(name, training):
    for module, args, kwargs, description in samples(name, training):
        if description in WITHOUT_THE_AXIS.get(name, ()):
            continue
        try:
            check(module, args, kwargs)
        except Exception as error:
            error.add_note(f"sample {description!r} of {module}")
            raise
    refused = {expected for kind, expected in REFUSED if kind == name}
    assert refused == NOT_IN_NNX.get(name, set())


def test_most_pairs_have_samples():
    assert len(SAMPLES.keys() & PAIRS.keys()) > 0.5 * len(PAIRS)


@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("reduction", ["batchmean", "sum", "none"])
def test_a_divergence(reduction, log_target):
    module = torch.nn.KLDivLoss(reduction=reduction, log_target=log_target)
    log_p, log_q = (torch.log_softmax(torch.randn(4, 3, dtype=torch.float64), 1) for _ in range(2))
    target = log_q if log_target else log_q.exp()
    found = nnx.io.from_torch(module)(log_p.numpy(), target.numpy())
    assert_close(nnx.to_numpy(found), module(log_p, target).numpy())
