"""Recurrent functions and layers."""

import numpy as np

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong

BATCH, TIME, FEATURES, HIDDEN = 3, 3, 2, 2
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
LENGTHS = (2, 3, 1)
MASK = (np.arange(TIME) < np.asarray(LENGTHS)[:, None]).astype(np.int64)  # constants of rows are floats or int64
WEIGHTS = ("weight", "recurrent_weight", "bias", "recurrent_bias")


def arrays(kind, bias=True, state=True, time=TIME):
    """Draw x, the weights, the biases and the initial states, as far as a row has them."""
    width = GATES[kind] * HIDDEN
    biases = [(width,), (width,)] if bias else []
    states = [(BATCH, HIDDEN)] * ((2 if kind == "lstm" else 1) if state else 0)
    return normal((BATCH, time, FEATURES), (FEATURES, width), (HIDDEN, width), *biases, *states)


def of_torch(torch, kind, x, weights, states=None, mask=None, layers=1, bidirectional=False):
    """Run PyTorch's recurrent function; a mask, of one prefix a row, goes through a packed sequence.

    ``weights`` are one list a layer and direction.
    """
    flat = [part.T if part.ndim == 2 else part for cell in weights for part in cell]
    function = getattr(torch, "rnn_tanh" if kind == "rnn" else kind)
    count, hidden = len(weights), weights[0][1].shape[0]
    if states is None:
        states = [torch.zeros(count, x.shape[0], hidden, dtype=x.dtype) for _ in range(2 if kind == "lstm" else 1)]
    state = tuple(states) if kind == "lstm" else states[0]
    options = (flat, len(weights[0]) == 4, layers, 0.0, False, bidirectional)
    if mask is None:
        return function(x, state, *options, True)
    rnn = torch.nn.utils.rnn
    lengths = mask.sum(1)
    order = torch.argsort(lengths, descending=True)
    back = torch.argsort(order)
    packed = rnn.pack_padded_sequence(x[order], lengths[order], batch_first=True)
    sorted_state = tuple(s[:, order] for s in states) if kind == "lstm" else states[0][:, order]
    data, *last = function(packed.data, packed.batch_sizes, sorted_state, *options)
    y, _ = rnn.pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])
    return (y[back], *(s[:, back] for s in last))


def _row(kind, id, bias=True, state=True, masked=False, **options):
    function = getattr(F, kind)
    count = 4 if bias else 2

    def call(x, *rest):
        rest, mask = (rest[:-1], rest[-1] == 1) if masked else (rest, None)
        biases = rest[2:count] if bias else (None, None)
        states = rest[count:] or [None] * (2 if kind == "lstm" else 1)
        return function(x, *rest[:2], *biases, *states, mask, **options)

    def torch_call(torch, x, *rest):
        rest, mask = (rest[:-1], rest[-1]) if masked else (rest, None)
        flip = (lambda a: a.flip(1)) if options.get("reverse") else (lambda a: a)
        states = [s[None] for s in rest[count:]] or None
        y, *last = of_torch(torch, kind, flip(x), [rest[:count]], states, mask)
        return (flip(y), *(s[0] for s in last))

    constants = (lambda rng: (MASK,)) if masked else (lambda rng: ())
    return Row(id, call, arrays(kind, bias, state), torch_call, constants, unbatched=tuple(range(1, 1 + count)))


def _function(kind, axes, torch_name, **rows):
    width = GATES[kind] * HIDDEN
    return Capability(
        f"functional.{kind}",
        f"x (batch, time, in), weight (in, {axes}), recurrent_weight (hidden, {axes}), biases, states, mask",
        torch_name,
        wrong=Wrong(
            (
                (BATCH, TIME, 3),
                (FEATURES, width),
                (HIDDEN, width),
                (width,),
                (width,),
                (BATCH, HIDDEN),
                (BATCH, HIDDEN),
            )[: 7 if kind == "lstm" else 6],
            r"expected input of shape \(batch, time, 2\), got \(3, 3, 3\)",
        ),
        rows=tuple(_row(kind, f"{kind}-{id}" if id != "plain" else kind, **options) for id, options in rows.items()),
    )


def _parameters(p, cells):
    """Return the parameters of each cell in PyTorch's order."""
    return [[p[f"{path}{name}"] for name in WEIGHTS if f"{path}{name}" in p] for path in cells]


def _states(kind):
    """Return the shape of each initial state of the stacked layer below."""
    return [(4, BATCH, HIDDEN)] * (2 if kind == "lstm" else 1)


def _layer(name, kind):
    def make(dtype, **options):
        return getattr(nnx, name)(FEATURES, HIDDEN, rng=0, dtype=dtype, **options)

    def call(module, x, *states):
        return module(x, (states if kind == "lstm" else states[0]) if states else None)

    def torch_call(torch, p, x, *states):
        count = len(p) // 4
        weights = _parameters(p, [f"cells.{k}." for k in range(count)])
        y, *last = of_torch(torch, kind, x, weights, states or None, None, max(1, count // 2), count > 1)
        return y, (tuple(last) if kind == "lstm" else last[0])

    def row(id, draw, repr=None, **options):
        return Row(f"layer-{id}", call, draw, torch_call, make=lambda d: make(d, **options), batch=None, repr=repr)

    stacked = row(f"{name}-stacked", normal((BATCH, 2, FEATURES), *_states(kind)), layers=2, bidirectional=True)
    cell = f"{name}Cell(in_features=2, hidden_features=2)"
    return Capability(
        name,
        "x (batch, time, in_features), state, mask; the result is (y, state)",
        f"torch.nn.{name}, batch first, whose weights are transposed",
        wrong=Wrong(((BATCH, TIME, 3),), rf"{name}: expected input of shape \(batch, time, 2\), got \(3, 3, 3\)"),
        rows=(
            row(
                name,
                normal((BATCH, TIME, FEATURES)),
                f"{name}(in_features=2, hidden_features=2\n  (cells.0): {cell}\n)",
            ),
            *((stacked,) if kind == "lstm" else ()),  # the others differ in the cell alone
        ),
    )


def _cell(name, kind):
    function = {"rnn": "rnn_tanh"}.get(kind, kind) + "_cell"

    def call(module, x, *states):
        return module(x, states if kind == "lstm" else states[0])

    def torch_call(torch, p, x, *states):
        (weights,) = _parameters(p, [""])
        flat = [part.T if part.ndim == 2 else part for part in weights]
        return getattr(torch, function)(x, states if kind == "lstm" else states[0], *flat)

    count = 2 if kind == "lstm" else 1
    return Capability(
        name,
        f"x (batch, in_features), {'a pair of states' if count == 2 else 'state'} (batch, hidden_features)",
        f"torch.nn.{name}, whose weights are transposed",
        wrong=Wrong(
            ((BATCH, 3), *[(BATCH, HIDDEN)] * count),
            rf"{name}: expected input of shape \(batch, 2\), got \(3, 3\)",
        ),
        rows=(
            Row(
                f"layer-{name}",
                call,
                normal((BATCH, FEATURES), *[(BATCH, HIDDEN)] * count),
                torch_call,
                make=lambda dtype: getattr(nnx, name)(FEATURES, HIDDEN, rng=0, dtype=dtype),
                repr=f"{name}(in_features=2, hidden_features=2)",
            ),
        ),
    )


CAPABILITIES = [
    _function(
        "rnn",
        "hidden",
        "torch.rnn_tanh",
        plain={},
        masked={"masked": True},
    ),
    _function(
        "lstm",
        "4 * hidden",
        "torch.lstm",
        plain={},
        bare={"bias": False, "state": False},
        reverse={"reverse": True},
        masked={"masked": True},
    ),
    _function(
        "gru",
        "3 * hidden",
        "torch.gru",
        plain={},
        masked={"masked": True},
    ),
    *(record for kind in GATES for record in (_layer(kind.upper(), kind), _cell(f"{kind.upper()}Cell", kind))),
]
