"""Trees: arrays in nested dicts, lists and tuples, and in objects that define how they are split.

The leaves of a tree have a fixed order, each under a dotted path. Dict keys keep the order of the dict. ``None`` is a
tree without leaves. An object of any other class is a leaf, unless it defines:

``__tree_split__()``
    Returns a dict from dotted path to leaf, and a function that takes as many leaves in the same order and returns a
    copy of the object with these instead of its own. The copy may share with the object whatever is not a leaf.

``__tree_release__()``, optional
    Makes such a copy stop sharing, before it goes to the caller of :func:`tree_map` or :func:`tree_replace`.

``__tree_arrays__()``, optional
    Returns a dict of all arrays by dotted path, where there are more than the leaves: a module may have frozen ones.

``__tree_buffers__()``, optional
    Returns the buffers that the object shares with such copies.

``__tree_refill__(values)``, optional
    Gives such a copy buffers of its own, with the next values of an iterator, in the order of ``__tree_buffers__``.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from nnx.errors import ArgumentError, ShapeError
from nnx.types import Tree

Rebuild = Callable[[Sequence[Any]], Tree]


def tree_split(
    tree: Tree, *, objects_as_dicts: bool = False, all_arrays: bool = False
) -> tuple[dict[str, Any], Rebuild]:
    """Return the leaves of a tree by dotted path, and a function that builds the same tree from other leaves.

    Parameters
    ----------
    tree : tree
    objects_as_dicts : bool
        Build dicts from path to leaf instead of objects such as modules: the structure of a gradient.
    all_arrays : bool
        Together with ``objects_as_dicts``: take all arrays of such objects, not only their leaves.

    Examples
    --------
    >>> leaves, rebuild = tree_split({"a": 1, "b": (2, None)})
    >>> leaves
    {'a': 1, 'b.0': 2}
    >>> rebuild([10, 20])
    {'a': 10, 'b': (20, None)}
    """
    if isinstance(tree, dict):
        return _joined(list(tree), list(tree.values()), _dict_like(tree), objects_as_dicts, all_arrays)
    if isinstance(tree, (list, tuple)):
        return _joined(range(len(tree)), tree, sequence_like(tree), objects_as_dicts, all_arrays)
    if tree is None:
        return {}, lambda leaves: None
    split = getattr(type(tree), "__tree_split__", None)
    if split is None:
        return {"": tree}, lambda leaves: leaves[0]
    found, rebuild = split(tree)
    if objects_as_dicts:
        if all_arrays and hasattr(type(tree), "__tree_arrays__"):
            found = type(tree).__tree_arrays__(tree)
        paths = list(found)
        return found, lambda leaves: dict(zip(paths, leaves, strict=True))
    return found, rebuild


def tree_flatten(tree: Tree) -> dict[str, Any]:
    """Return the leaves of a tree by dotted path; a tree that is itself a leaf has the empty path.

    Examples
    --------
    >>> tree_flatten({"a": 1, "b": [2, {"c": 3}]})
    {'a': 1, 'b.0': 2, 'b.1.c': 3}
    """
    return tree_split(tree)[0]


def tree_leaves(tree: Tree) -> list[Any]:
    """Return the leaves of a tree in order."""
    return list(tree_split(tree)[0].values())


def tree_buffers(tree: Tree) -> list[Any]:
    """Return the buffers of the objects in a tree, which they share with the copies that transforms make.

    A buffer holds its array in the attribute ``value``.
    """
    if isinstance(tree, dict):
        return tree_buffers(list(tree.values()))
    if isinstance(tree, (list, tuple)):
        return [buffer for child in tree for buffer in tree_buffers(child)]
    buffers = getattr(type(tree), "__tree_buffers__", None)
    return [] if buffers is None else buffers(tree)


def tree_refill(tree: Tree, values: Iterator[Any]) -> Tree:
    """Give the objects in a tree, which are copies, buffers of their own with these values, and return the tree."""
    if isinstance(tree, (dict, list, tuple)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            tree_refill(child, values)
    refill = getattr(type(tree), "__tree_refill__", None)
    if refill is not None:
        refill(tree, values)
    return tree


def leaves_like(tree: Tree, paths: Collection[str], what: str, owner: str) -> list[Any]:
    """Return the leaves of a tree in the order of these paths, which must be exactly the paths that it has.

    Parameters
    ----------
    tree : tree
        Such as a cotangent or a tangent; the keys of its dicts may be in any order.
    paths : collection of str
        The paths of the tree that it belongs to.
    what, owner : str
        The names of the two trees in the error.

    Raises
    ------
    ShapeError
        If the tree has other paths.
    """
    found = tree_flatten(tree)
    if len(found) != len(paths):
        raise ShapeError(f"expected {what} with {len(paths)} arrays, as {owner}, got {len(found)}")
    if found.keys() != set(paths):
        missing, extra = [p for p in paths if p not in found], [p for p in found if p not in paths]
        raise ShapeError(f"expected {what} with the arrays of {owner}; missing {missing}, not in it {extra}")
    return [found[path] for path in paths]


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
    found, rebuild = tree_split(tree)
    if len(leaves) != len(found):
        raise ArgumentError(f"expected {len(found)} leaves for this tree, got {len(leaves)}")
    return _released(rebuild(leaves))


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to every leaf of a tree together with the leaves of other trees at the same paths.

    Raises
    ------
    ArgumentError
        If the paths of the trees differ.

    Examples
    --------
    >>> tree_map(lambda a, b: a + b, {"x": 1, "y": [2]}, {"x": 10, "y": [20]})
    {'x': 11, 'y': [22]}
    """
    flat, rebuild = tree_split(tree)
    columns = [list(flat.values())]
    for other in others:
        found = tree_flatten(other)
        if list(found) != list(flat):
            raise ArgumentError(f"expected a tree with the leaves {list(flat)}, got one with {list(found)}")
        columns.append(list(found.values()))
    return _released(rebuild([function(*leaves) for leaves in zip(*columns, strict=True)]))


def _released(tree: Tree) -> Tree:
    """Return a tree whose objects belong to the caller, after letting each of them stop sharing."""
    if isinstance(tree, (dict, list, tuple)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            _released(child)
    release = getattr(type(tree), "__tree_release__", None)
    if release is not None:
        release(tree)
    return tree


def _joined(
    keys: Sequence[Any],
    children: Sequence[Tree],
    make: Callable[[list[Tree]], Tree],
    objects_as_dicts: bool,
    all_arrays: bool,
) -> tuple[dict[str, Any], Rebuild]:
    """Split each child, and join the leaves under the keys."""
    parts = [tree_split(child, objects_as_dicts=objects_as_dicts, all_arrays=all_arrays) for child in children]
    found = {
        f"{key}.{path}" if path else str(key): leaf
        for key, (leaves, _) in zip(keys, parts, strict=True)
        for path, leaf in leaves.items()
    }

    # As in {"a.b": 1, "a": {"b": 2}}, or with the keys 1 and "1".
    if len(found) < sum(len(leaves) for leaves, _ in parts):
        raise ArgumentError(f"expected every leaf to have a path of its own, got keys that collide among {list(keys)}")

    def rebuild(leaves: Sequence[Any]) -> Tree:
        made, start = [], 0
        for own, rebuild_child in parts:
            made.append(rebuild_child(leaves[start : start + len(own)]))
            start += len(own)
        return make(made)

    return found, rebuild


def _dict_like(tree: dict[Any, Any]) -> Callable[[list[Tree]], Tree]:
    keys = list(tree)
    if type(tree) is dict:
        return lambda children: dict(zip(keys, children, strict=True))
    empty = copy.copy(tree)  # a subclass, such as defaultdict, is more than its items
    empty.clear()

    def make(children: list[Tree]) -> Tree:
        made = copy.copy(empty)
        made.update(zip(keys, children, strict=True))
        return made

    return make


def sequence_like(tree: Sequence[Any]) -> Callable[[list[Tree]], Tree]:
    """Return the function that makes a list, tuple or named tuple like this one of a list of its elements."""
    kind = type(tree)
    return (lambda children: kind(*children)) if hasattr(tree, "_fields") else kind
