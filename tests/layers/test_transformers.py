"""Attention layers and transformers against PyTorch's modules, with a cache against without, and their errors."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError, ShapeError, UsageError
from nnx.testing import assert_close

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape)


def randomized(module):
    """Give all parameters of a module of PyTorch, biases too, random values, and return it."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


# Each of these maps the paths of nnx to what ``of`` makes of the parameters of a module of PyTorch: values, gradients.


def of_linear(path, module, of):
    return {f"{path}.weight": of(module.weight).T, f"{path}.bias": of(module.bias)}


def of_norm(path, module, of):
    return {f"{path}.weight": of(module.weight), f"{path}.bias": of(module.bias)}


def of_attention(path, module, of):
    found = of_linear(f"{path}output", module.out_proj, of)
    if module.in_proj_weight is None:
        weights = [of(w) for w in (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)]
    else:
        weights = of(module.in_proj_weight).chunk(3)
    for name, weight, bias in zip(("query", "key", "value"), weights, of(module.in_proj_bias).chunk(3), strict=True):
        found |= {f"{path}{name}.weight": weight.T, f"{path}{name}.bias": bias}
    return found


def of_block(path, module, of):
    found = of_attention(f"{path}attention.", module.self_attn, of)
    names = ["attention_norm", "feed_forward_norm"]
    if hasattr(module, "multihead_attn"):
        found |= of_attention(f"{path}cross_attention.", module.multihead_attn, of)
        names.insert(1, "cross_attention_norm")
    for i, name in enumerate(names, 1):
        found |= of_norm(f"{path}{name}", getattr(module, f"norm{i}"), of)
    found |= of_linear(f"{path}feed_forward.expand", module.linear1, of)
    return found | of_linear(f"{path}feed_forward.contract", module.linear2, of)


def of_stack(module, of):
    found = {
        path: x for i, block in enumerate(module.layers) for path, x in of_block(f"blocks.{i}.", block, of).items()
    }
    return found | (of_norm("norm", module.norm, of) if module.norm else {})


def expect_same(module, parameters, call, theirs, inputs):
    """Compare outputs and the gradients of inputs and parameters; ``theirs`` takes torch's arrays."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    values = {path: w.detach().numpy().copy() for path, w in parameters(lambda w: w).items()}
    module.to(dtype="float64").replace_parameters(values)
    y, pullback = nnx.vjp(call, module, *inputs)
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    expected = theirs(*leaves)
    assert_close(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    g = normal(*y.shape)
    of_parameters, *of_inputs = pullback(g)
    expected.backward(torch.tensor(g))
    assert_close(of_inputs, [x.grad.numpy() for x in leaves], rtol=1e-10, atol=1e-11)
    gradients = parameters(lambda w: w.grad)
    assert_close(of_parameters, {path: gradients[path].numpy() for path in of_parameters}, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("sizes", [(8, 8), (3, 5)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_that_of_pytorch(sizes, masked):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = randomized(
        torch.nn.MultiheadAttention(8, 2, kdim=sizes[0], vdim=sizes[1], batch_first=True, dtype=torch.float64)
    )
    ours = nnx.MultiHeadAttention(8, 2, key_features=sizes[0], value_features=sizes[1])
    mask, padding = RNG.random((4, 5)) > 0.3, RNG.random((3, 5)) > 0.3
    mask[:, 0] = padding[:, 0] = True
    both = mask & padding[:, None, None, :] if masked else None
    flipped = {"attn_mask": torch.tensor(~mask), "key_padding_mask": torch.tensor(~padding)} if masked else {}
    expect_same(
        ours,
        lambda of: of_attention("", module, of),
        lambda module, *inputs: module(*inputs, mask=both),
        lambda *inputs: module(*inputs, need_weights=False, **flipped)[0],
        [normal(3, 4, 8), normal(3, 5, sizes[0]), normal(3, 5, sizes[1])],
    )


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("is_causal", [False, True])
def test_an_encoder_is_that_of_pytorch(norm_first, is_causal):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    options = {"activation": torch.nn.functional.gelu, "norm_first": norm_first, "batch_first": True, "dropout": 0.0}
    layer = torch.nn.TransformerEncoderLayer(8, 2, 12, dtype=torch.float64, **options)
    norm = torch.nn.LayerNorm(8, dtype=torch.float64)
    module = randomized(torch.nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False))
    blocks = [nnx.TransformerEncoderBlock(8, 2, 12, activation=nnx.GELU(), norm_first=norm_first) for _ in range(2)]
    padding = RNG.random((3, 5)) > 0.3
    padding[:, 0] = True
    causal = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64) if is_causal else None
    expect_same(
        nnx.TransformerEncoder(blocks, nnx.LayerNorm(8)),
        lambda of: of_stack(module, of),
        lambda module, x: module(x, mask=padding[:, None, None, :], is_causal=is_causal),
        lambda x: module(x, mask=causal, src_key_padding_mask=torch.tensor(~padding).double() * -1e30),
        [normal(3, 5, 8)],
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_decoder_is_that_of_pytorch(norm_first):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    options = {"norm_first": norm_first, "batch_first": True, "dropout": 0.0, "dtype": torch.float64}
    module = randomized(torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(8, 2, 12, **options), 1))
    padding = RNG.random((3, 6)) > 0.3
    padding[:, 0] = True
    causal = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    expect_same(
        nnx.TransformerDecoder([nnx.TransformerDecoderBlock(8, 2, 12, norm_first=norm_first)]),
        lambda of: of_stack(module, of),
        lambda module, x, memory: module(x, memory, memory_mask=padding[:, None, None, :]),
        lambda x, memory: module(x, memory, tgt_mask=causal, memory_key_padding_mask=torch.tensor(~padding)),
        [normal(3, 5, 8), normal(3, 6, 8)],
    )


class GPT(nnx.Module):
    """A model in the style of GPT-2; its parts have nnx's names."""

    def __init__(self, tokens, context, features, heads, blocks, *, rng=None, **options):
        rng = nnx.generator(rng)
        options = {"activation": nnx.GELU(approximate="tanh"), "norm_first": True, "rng": rng, **options}
        self.tokens = nnx.Embedding(tokens, features, rng=rng)
        self.positions = nnx.Embedding(context, features, rng=rng)
        made = [nnx.TransformerEncoderBlock(features, heads, **options) for _ in range(blocks)]
        self.body = nnx.TransformerEncoder(made, nnx.LayerNorm(features))
        self.head = nnx.Linear(features, tokens, bias=False, rng=rng)
        self.head.weight = nnx.Tied(self.tokens, "weight", transpose=True)

    def forward(self, tokens, cache=None):
        past = 0 if cache is None else cache[0]["key"].shape[-2]
        x = self.tokens(tokens) + self.positions.weight[past : past + tokens.shape[1], :]
        if cache is None:
            return self.head(self.body(x, is_causal=True))
        x, cache = self.body(x, is_causal=True, cache=cache)
        return self.head(x), cache


def test_a_model_like_gpt_2_gives_what_one_in_pytorch_gives():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    F = torch.nn.functional
    state = {}

    def parameter(path, *shape):
        return state.setdefault(path, torch.tensor(normal(*shape) * 0.5, requires_grad=True))

    def linear(path, x, n):
        return x @ parameter(f"{path}.weight", x.shape[-1], n) + parameter(f"{path}.bias", n)

    def norm(path, x):
        return F.layer_norm(x, x.shape[-1:], parameter(f"{path}.weight", 8), parameter(f"{path}.bias", 8))

    def block(path, x):
        h = norm(f"{path}.attention_norm", x)
        parts = [linear(f"{path}.attention.{name}", h, 8) for name in ("query", "key", "value")]
        h = F.scaled_dot_product_attention(
            *(p.unflatten(-1, (2, 4)).mT.mT.transpose(1, 2) for p in parts), is_causal=True
        )
        x = x + linear(f"{path}.attention.output", h.transpose(1, 2).flatten(2), 8)
        h = linear(f"{path}.feed_forward.expand", norm(f"{path}.feed_forward_norm", x), 32)
        return x + linear(f"{path}.feed_forward.contract", F.gelu(h, approximate="tanh"), 8)

    def gpt(tokens):
        x = parameter("tokens.weight", 11, 8)[tokens] + parameter("positions.weight", 16, 8)[: tokens.shape[1]]
        for i in range(2):
            x = block(f"body.blocks.{i}", x)
        return norm("body.norm", x) @ state["tokens.weight"].T

    tokens = RNG.integers(11, size=(3, 7))
    gpt(torch.tensor(tokens))  # makes the parameters
    model = GPT(11, 16, 8, 2, 2)

    def parameters(of):
        return {path: of(w) for path, w in state.items()}

    expect_same(model, parameters, lambda model: model(tokens), lambda: gpt(torch.tensor(tokens)), [])


@pytest.mark.parametrize("options", [{}, {"kv_heads": 1, "rotary": 100.0}])
def test_a_cache_changes_nothing(xp, options):
    with nnx.use_backend(xp.spec):
        model = GPT(11, 16, 8, 2, 2, rng=0, **options).eval()
        tokens = xp.asarray(RNG.integers(11, size=(3, 6)), "int64")
        whole = model(tokens)
        parts, cache = [], model.body.empty_cache(3)
        for start, stop in ((0, 3), (3, 4), (4, 6)):
            before = cache
            part, cache = model(tokens[:, start:stop], cache)
            assert [c["key"].shape[2] for c in before] == [start] * 2
            parts.append(part)
        assert_close(xp.namespace.concat(parts, axis=1), whole, rtol=1e-4, atol=1e-5)


def test_a_decoder_with_a_cache():
    decoder = nnx.TransformerDecoder([nnx.TransformerDecoderBlock(8, 2, rng=i) for i in range(2)]).eval()
    x, memory = (normal(2, n, 8).astype("float32") for n in (4, 3))
    cache, steps = decoder.empty_cache(2), []
    for t in range(4):
        step, cache = decoder(x[:, t : t + 1], memory, cache=cache)
        steps.append(step)
    assert_close(np.concatenate(steps, axis=1), decoder(x, memory), rtol=1e-4, atol=1e-5)


def test_dropout_is_drawn_in_training_alone_and_anew_at_each_call():
    block = nnx.TransformerEncoderBlock(8, 2, dropout=0.5, rng=0)
    x = normal(2, 3, 8).astype("float32")
    first, second = block(x), block(x)
    assert (first != second).any()
    assert (nnx.TransformerEncoderBlock(8, 2, dropout=0.5, rng=0)(x) == first).all()
    assert_close(block.eval()(x), block(x), rtol=0.0)
    attention = nnx.MultiHeadAttention(8, 2, dropout=0.5, rng=0)
    assert (attention(x) != attention.eval()(x)).any()
    assert list(attention.buffers()) == ["drawing.seed", "drawing.calls"]
    attention = nnx.MultiHeadAttention(8, 2, rng=0)
    attention.dropout = 0.5
    with pytest.raises(UsageError, match="expected dropout 0, as the layer was made, got 0"):
        attention(x)


def test_it_learns_to_copy():
    """A pattern that only attention to earlier tokens can predict: the second half repeats the first."""
    model, rng = GPT(8, 16, 16, 2, 1, rng=0, rotary=100.0), np.random.default_rng(0)
    optimizer = nnx.Adam(model, learning_rate=0.01)
    loss = nnx.CrossEntropy(axis=-1)

    def of(model, tokens):
        return loss(model(tokens[:, :-1])[:, 7:], tokens[:, 8:])

    losses = []
    for _ in range(150):
        half = rng.integers(8, size=(16, 8))
        value, gradients = nnx.value_and_grad(of)(model, np.concatenate([half, half], axis=1))
        optimizer.step(gradients)
        losses.append(float(value))
    assert losses[0] > 2.0
    assert losses[-1] < losses[0] - 0.2


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nnx.MultiHeadAttention(8, 3), "heads that divide the features, .* got 8 features, 3 heads"),
        (lambda: nnx.MultiHeadAttention(8, 4, kv_heads=3), "kv_heads that divide the heads, .* and 3 kv_heads"),
        (lambda: nnx.MultiHeadAttention(6, 2, rotary=100.0), "an even number of features a head .* got 3"),
        (lambda: nnx.MultiHeadAttention(8, 2, dropout=2.0), r"expected dropout in \[0, 1\], got 2.0"),
        (lambda: nnx.TransformerEncoderBlock(8, 2, norm="batch"), "norm to be one of 'layer', 'rms', got 'batch'"),
        (lambda: nnx.FeedForward(8, activation="relu"), r"activation to be a module, such as nnx.GELU\(\), got 'relu'"),
        (lambda: nnx.TransformerEncoder([3]), "expected layer 0 to be a Module, got 3"),
    ],
)
def test_errors_of_constructors(make, match):
    with pytest.raises(ArgumentError, match=match):
        make()


def test_errors_of_calls():
    x = normal(2, 3, 8).astype("float32")
    attention = nnx.MultiHeadAttention(8, 2, rng=0)
    with pytest.raises(ShapeError, match=r"Linear 'query': expected input of shape \(\.\.\., 8\), got \(2, 3, 7\)"):
        attention(x[..., :7])
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, time, features\), got \(8,\)"):
        attention(x[0, 0])
    with pytest.raises(ShapeError, match=r"expected mask to broadcast to .* = \(2, 2, 3, 3\), got \(2, 3\)"):
        attention(x, mask=np.ones((2, 3), bool))
    with pytest.raises(DTypeError, match="expected mask of dtype bool"):
        attention(x, mask=np.ones((3, 3)))
    with pytest.raises(ArgumentError, match="no key and no value with a cache, which is for self-attention"):
        attention(x, x, cache=attention.empty_cache(2))
    with pytest.raises(ShapeError, match=r"key of the cache of shape \(2, 2, 0, 4\), as the query, got \(3, 2, 0, 4\)"):
        attention(x, cache=attention.empty_cache(3))
    with pytest.raises(ArgumentError, match="expected a cache with key and value, as of empty_cache, got a list"):
        attention(x, cache=[attention.empty_cache(2)])
    encoder = nnx.TransformerEncoder([nnx.TransformerEncoderBlock(8, 2, rng=0)])
    with pytest.raises(ArgumentError, match="expected a cache for each of the 1 blocks, got 0"):
        encoder(x, cache=[])
