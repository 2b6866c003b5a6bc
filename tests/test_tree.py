from collections import OrderedDict, namedtuple

import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.tree import tree_flatten, tree_leaves, tree_map, tree_replace

Pair = namedtuple("Pair", "left right")


def test_paths():
    tree = {"a": 1, "b": [2, {"c": 3}], "n": None, "p": Pair(4, (5,))}
    assert tree_flatten(tree) == {"a": 1, "b.0": 2, "b.1.c": 3, "p.0": 4, "p.1.0": 5}
    assert tree_leaves(tree) == [1, 2, 3, 4, 5]
    assert tree_flatten(7) == {"": 7}
    assert tree_flatten(None) == tree_flatten([]) == {}


def test_map_keeps_the_structure():
    tree = OrderedDict(z=Pair(1, [2]), a=(None, 3))
    found = tree_map(lambda x: 10 * x, tree)
    assert found == OrderedDict(z=Pair(10, [20]), a=(None, 30))
    assert type(found) is OrderedDict
    assert type(found["z"]) is Pair
    assert tree_map(lambda x, y: x + y, [1, 2], [10, 20]) == [11, 22]


def test_modules_are_trees():
    layer = nnx.Linear(2, 3, rng=0)
    assert list(tree_flatten({"layer": layer})) == ["layer.weight", "layer.bias"]
    doubled = tree_map(lambda w: 2.0 * w, layer)
    assert (doubled.weight == 2.0 * layer.weight).all()
    assert doubled is not layer


def test_replace_needs_as_many_leaves():
    assert tree_replace({"a": 1, "b": (2, None)}, [10, 20]) == {"a": 10, "b": (20, None)}
    for leaves in ([], [1], [1, 2, 3]):
        with pytest.raises(ArgumentError, match=f"expected 2 leaves for this tree, got {len(leaves)}"):
            tree_replace([0, 0], leaves)


def test_map_needs_the_same_paths():
    with pytest.raises(ArgumentError, match=r"a tree with the leaves \['a'\], got one with \['b'\]"):
        tree_map(lambda x, y: x, {"a": 1}, {"b": 1})
