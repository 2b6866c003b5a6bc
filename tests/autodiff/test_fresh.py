"""Pullbacks that claim to return new memory do: it is added to, and handed to callers, without a copy."""

import itertools

import numpy as np
import pytest
from rows import ROWS
from rule_cases import CASES, each, function_of

import nnx
from nnx.autodiff.tape import Tape
from nnx.tree import tree_leaves, tree_map


class Host:
    """NumPy in the place of the fixture ``xp``."""

    spec = "numpy"

    def asarray(self, data, dtype):
        return np.asarray(data, dtype)


def arrays_in(values):
    return [leaf for leaf in tree_leaves(list(values)) if type(leaf) is np.ndarray]


@pytest.fixture
def watched(monkeypatch):
    """Look at every pullback that claims to be fresh; the fixture is a list of how many were looked at."""
    looked_at = []
    record = Tape.record

    def watching(tape, primitive, args, options):
        made = record(tape, primitive, args, options)
        pullback, inputs, output, fresh = tape.nodes[-1]
        if fresh:
            plain = nnx.stop_gradient(list(args))
            held = arrays_in([*plain, nnx.stop_gradient(made)])

            def checked(g):
                parts = pullback(g)
                new = arrays_in([part for part, slot in zip(parts, inputs, strict=False) if slot])
                others = [*held, *([] if inputs.may_overwrite else arrays_in([g]))]
                for i, part in enumerate(new):
                    for other in itertools.chain(others, new[:i]):
                        assert not np.may_share_memory(part, other), f"{primitive!r} is not fresh"
                    assert part.flags.writeable, f"{primitive!r} returns what cannot be written"
                looked_at.append(primitive)
                return parts

            tape.nodes[-1] = checked, inputs, output, fresh
        return made

    monkeypatch.setattr(Tape, "record", watching)
    return looked_at


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
@pytest.mark.parametrize("tier", ["portable", "native"])
def test_of_functions_layers_and_losses(watched, row, tier):
    function, args = row.subject(Host(), "float64")
    rng = row.rng()
    with nnx.use_kernels(tier):
        value, pullback = nnx.vjp(function, *args)
        pullback(tree_map(lambda x: np.asarray(rng.normal(size=x.shape)), value))


@each(CASES)
def test_of_the_rules(watched, case):
    value, pullback = nnx.vjp(function_of(case), *case.arrays())
    pullback(tree_map(lambda x: np.asarray(np.ones_like(x)), value))


def test_they_are_looked_at(watched):
    nnx.grad(lambda x: nnx.namespace(x).sum(x * x))(np.ones(3))
    assert len(watched) == 1
