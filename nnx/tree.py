"""Trees: arrays in nested dicts, lists and tuples, and objects that say how they are flattened.

A tree has leaves in a fixed order, each under a dotted path. Dict keys are taken in their own order. ``None``
is a tree without leaves. An object of another class takes part by two methods:

``__tree_flatten__()``
    returns a dict from dotted path to leaf;
``__tree_replace__(leaves)``
    returns a copy of the object with these leaves, in the same order, in place of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnx.errors import ArgumentError
from nnx.types import Tree


def tree_flatten(tree: Tree) -> dict[str, Any]:
    """Return the leaves of a tree by dotted path; the path of a tree that is itself a leaf is empty.

    Examples
    --------
    >>> tree_flatten({"a": 1, "b": [2, {"c": 3}]})
    {'a': 1, 'b.0': 2, 'b.1.c': 3}
    """
    return dict(_walk(tree, ""))


def tree_leaves(tree: Tree) -> list[Any]:
    """Return the leaves of a tree in order."""
    return [leaf for _, leaf in _walk(tree, "")]


def tree_replace(tree: Tree, leaves: Sequence[Any]) -> Tree:
    """Return a tree of the same structure with other leaves.

    Raises
    ------
    ArgumentError
        If there are more or fewer leaves than the tree has.

    Examples
    --------
    >>> tree_replace({"a": 1, "b": (2, None)}, [10, 20])
    {'a': 10, 'b': (20, None)}
    """
    rest = list(reversed(leaves))
    count = len(tree_leaves(tree))
    if len(rest) != count:
        raise ArgumentError(f"expected {count} leaves for this tree, got {len(rest)}")
    return _rebuild(tree, rest)


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to every leaf of a tree, and to the leaves at the same places of others.

    Raises
    ------
    ArgumentError
        If another tree has other paths than the first.

    Examples
    --------
    >>> tree_map(lambda a, b: a + b, {"x": 1, "y": [2]}, {"x": 10, "y": [20]})
    {'x': 11, 'y': [22]}
    """
    flat = tree_flatten(tree)
    columns = [list(flat.values())]
    for other in others:
        found = tree_flatten(other)
        if list(found) != list(flat):
            raise ArgumentError(f"expected a tree with the leaves {list(flat)}, got one with {list(found)}")
        columns.append(list(found.values()))
    return tree_replace(tree, [function(*leaves) for leaves in zip(*columns, strict=True)])


def _walk(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    if tree is None:
        return
    children = _children(tree)
    if children is None:
        yield path, tree
        return
    for key, child in children:
        yield from _walk(child, f"{path}.{key}" if path else str(key))


def _children(tree: Tree) -> list[tuple[Any, Any]] | None:
    """Return (key, child) pairs, or None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, (list, tuple)):
        return list(enumerate(tree))
    if hasattr(type(tree), "__tree_flatten__"):
        return list(tree.__tree_flatten__().items())
    return None


def _rebuild(tree: Tree, rest: list[Any]) -> Tree:
    """Build the tree anew, taking its leaves from the end of ``rest``."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return type(tree)((key, _rebuild(child, rest)) for key, child in tree.items())
    if isinstance(tree, list):
        return [_rebuild(child, rest) for child in tree]
    if isinstance(tree, tuple):
        children = [_rebuild(child, rest) for child in tree]
        return type(tree)(*children) if hasattr(tree, "_fields") else tuple(children)
    if hasattr(type(tree), "__tree_replace__"):
        count = len(tree.__tree_flatten__())
        return tree.__tree_replace__([rest.pop() for _ in range(count)])
    return rest.pop()
