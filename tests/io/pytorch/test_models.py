"""Whole models: written in PyTorch in the usual way, and in nnx with the same names, they give the same outputs."""

import numpy as np
import pytest

import nnx
from nnx.testing import assert_close

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn


class TorchBlock(nn.Module):
    """The basic block of torchvision's residual networks."""

    def __init__(self, into, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or into != out:
            self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchResNet(nn.Module):
    def __init__(self, widths, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        sizes = list(zip((widths[0], *widths[:-1]), widths, strict=True))
        for i, (into, out) in enumerate(sizes, 1):
            blocks = nn.Sequential(TorchBlock(into, out, 1 if i == 1 else 2), TorchBlock(out, out, 1))
            setattr(self, f"layer{i}", blocks)
        self.depth = len(sizes)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for i in range(1, self.depth + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Block(nnx.Module):
    def __init__(self, into, out, stride):
        self.conv1 = nnx.Conv2d(into, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nnx.BatchNorm2d(out)
        self.conv2 = nnx.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nnx.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or into != out:
            self.downsample = nnx.Model([nnx.Conv2d(into, out, 1, stride=stride, bias=False), nnx.BatchNorm2d(out)])

    def forward(self, x):
        y = self.bn2(self.conv2(nnx.functional.relu(self.bn1(self.conv1(x)))))
        return nnx.functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nnx.Module):
    def __init__(self, widths, classes):
        self.conv1 = nnx.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nnx.BatchNorm2d(widths[0])
        self.maxpool = nnx.MaxPool2d(3, stride=2, padding=1)
        sizes = list(zip((widths[0], *widths[:-1]), widths, strict=True))
        for i, (into, out) in enumerate(sizes, 1):
            setattr(self, f"layer{i}", nnx.Model([Block(into, out, 1 if i == 1 else 2), Block(out, out, 1)]))
        self.depth = len(sizes)
        self.avgpool = nnx.GlobalAvgPool()
        self.fc = nnx.Linear(widths[-1], classes)

    def forward(self, x):
        x = self.maxpool(nnx.functional.relu(self.bn1(self.conv1(x))))
        for i in range(1, self.depth + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(self.avgpool(x))


class TorchGPTBlock(nn.Module):
    """The block of GPT-2, with the products of queries, keys and values in one linear map."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, time, width = x.shape
        parts = self.attn["c_attn"](self.ln_1(x)).split(width, dim=2)
        q, k, v = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in parts)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](y.transpose(1, 2).reshape(batch, time, width))
        return x + self.mlp(self.ln_2(x))


class TorchGPT(nn.Module):
    def __init__(self, tokens, context, width, heads, depth):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(tokens, width), nn.Embedding(context, width)
        self.h = nn.ModuleList(TorchGPTBlock(width, heads) for _ in range(depth))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, tokens, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class GPTBlock(nnx.Module):
    def __init__(self, width, heads):
        self.heads = heads
        self.ln_1, self.ln_2 = nnx.LayerNorm(width), nnx.LayerNorm(width)
        self.attn = nnx.ModuleDict({"c_attn": nnx.Linear(width, 3 * width), "c_proj": nnx.Linear(width, width)})
        self.mlp = nnx.Model([nnx.Linear(width, 4 * width), nnx.GELU("tanh"), nnx.Linear(4 * width, width)])

    def forward(self, x):
        xp, (batch, time, width) = nnx.namespace(x), x.shape
        whole = xp.reshape(self.attn["c_attn"](self.ln_1(x)), (batch, time, 3, self.heads, width // self.heads))
        q, k, v = (xp.permute_dims(whole[:, :, i, :, :], (0, 2, 1, 3)) for i in range(3))
        y = nnx.functional.attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](xp.reshape(xp.permute_dims(y, (0, 2, 1, 3)), (batch, time, width)))
        return x + self.mlp(self.ln_2(x))


class GPT(nnx.Module):
    def __init__(self, tokens, context, width, heads, depth):
        self.wte, self.wpe = nnx.Embedding(tokens, width), nnx.Embedding(context, width)
        self.h = nnx.ModuleList([GPTBlock(width, heads) for _ in range(depth)])
        self.ln_f = nnx.LayerNorm(width)
        self.lm_head = nnx.Linear(width, tokens, bias=False)
        self.lm_head.weight = nnx.Tied(self.wte, "weight", transpose=True)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1], :]
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


MODELS = {
    "resnet": (TorchResNet, ResNet, ((4, 6, 8), 5), np.random.default_rng(0).normal(size=(3, 3, 33, 40))),
    "gpt-2": (TorchGPT, GPT, (11, 7, 8, 2, 2), np.random.default_rng(0).integers(0, 11, (3, 6))),
}


@pytest.fixture(params=MODELS)
def pair(request, xp):
    """A model of PyTorch with values of its own, the same in nnx, and an input for each."""
    theirs, ours, arguments, data = MODELS[request.param]
    torch.manual_seed(0)
    original = theirs(*arguments).double()
    for name, value in original.state_dict().items():
        if "running" in name:
            value.copy_(torch.rand(value.shape) + 0.5)
    with nnx.use_backend(xp.spec):
        model = nnx.io.load_torch_state_dict(ours(*arguments).to(dtype="float64"), original.state_dict())
    kind = "float64" if data.dtype.kind == "f" else "int64"
    return original, model, torch.asarray(data), xp.asarray(data, kind)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_outputs_gradients_and_statistics(pair, training):
    original, model, theirs, ours = pair
    expected = original.train(training)(theirs)
    output, pullback = nnx.vjp(lambda model: model(ours), model.train(training))
    assert_close(nnx.to_numpy(output), expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    cotangent = torch.randn_like(expected)
    expected.backward(cotangent)
    (gradients,) = pullback(nnx.backend.asarray(cotangent.numpy(), like=output))
    found = nnx.io.to_torch_state_dict(model, gradients)
    for name, parameter in original.named_parameters():
        assert_close(found[name].numpy(), parameter.grad.numpy(), rtol=1e-8, atol=1e-10)
    state = nnx.io.to_torch_state_dict(model)
    assert state.keys() == original.state_dict().keys()
    for name, value in original.state_dict().items():
        assert_close(state[name].numpy(), value.numpy(), rtol=1e-10, atol=1e-12)
