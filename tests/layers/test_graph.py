"""What a model holds is found, followed when it changes, and refused where it cannot be followed."""

import copy
import dataclasses
import functools
import pickle
import threading
import types
import weakref
from collections import OrderedDict, UserDict, UserList, deque, namedtuple

import numpy as np
import pytest

import nnx
from nnx import Buffer, Linear, Model, Module, Parameter, ReLU
from nnx.errors import ArgumentError, DTypeError, ShapeError, UsageError
from nnx.layers.plan import walk
from nnx.testing import assert_close
from nnx.tree import tree_map

X = np.ones((1, 2), np.float32)


def linear(seed=0):
    return Linear(2, 2, rng=seed)


def total(x):
    return nnx.namespace(x).sum(x)


def paths(module):
    return list(nnx.grad(lambda m: sum((total(w) for w in m.parameters().values()), np.asarray(0.0)))(module))


class Holder(Module):
    def __init__(self, held):
        self.held = held


class TestPlan:
    def test_is_kept_while_no_structure_changes(self):
        model = Model([linear(), ReLU()])
        plan = model.plan()
        model[0].weight = 2.0 * model[0].weight
        model.replace_parameters({"0.bias": np.ones(2, np.float32)})
        model(X)
        model.backward(X)
        model.update(0.1)
        nnx.grad(lambda m: total(m(X)))(model)
        model.eval().train().to(dtype="float64")
        assert model.plan() is plan

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda m: m["list"].append(linear()), {"list.0", "list.1", "dict.a", "alone"}),
            (lambda m: m["list"].extend(iter([linear()])), {"list.0", "list.1", "dict.a", "alone"}),
            (lambda m: m["list"].insert(0, linear()), {"list.0", "list.1", "dict.a", "alone"}),
            (lambda m: m["list"].__iadd__([linear()]), {"list.0", "list.1", "dict.a", "alone"}),
            (lambda m: m["list"].__setitem__(slice(0, 0), [linear()]), {"list.0", "list.1", "dict.a", "alone"}),
            (lambda m: m["list"].append([linear()]), {"list.0", "list.1.0", "dict.a", "alone"}),
            (
                lambda m: m["list"].append({}) or m["list"][1].update(b=linear()),
                {"list.0", "list.1.b", "dict.a", "alone"},
            ),
            (lambda m: m["list"].pop(), {"dict.a", "alone"}),
            (lambda m: m["list"].clear(), {"dict.a", "alone"}),
            (lambda m: m["list"].__delitem__(0), {"dict.a", "alone"}),
            (lambda m: m["list"].__imul__(0), {"dict.a", "alone"}),
            (lambda m: m["list"].remove(m["list"][0]), {"dict.a", "alone"}),
            (lambda m: m["dict"].__setitem__("b", linear()), {"list.0", "dict.a", "dict.b", "alone"}),
            (lambda m: m["dict"].update({"b": linear()}), {"list.0", "dict.a", "dict.b", "alone"}),
            (lambda m: m["dict"].__ior__({"b": linear()}), {"list.0", "dict.a", "dict.b", "alone"}),
            (lambda m: m["dict"].setdefault("b", linear()), {"list.0", "dict.a", "dict.b", "alone"}),
            (lambda m: m["dict"].pop("a"), {"list.0", "alone"}),
            (lambda m: m["dict"].popitem(), {"list.0", "alone"}),
            (lambda m: m["dict"].clear(), {"list.0", "alone"}),
        ],
    )
    def test_containers_notice(self, change, expected):
        module = Module()
        module.list, module.dict, module.alone = [linear()], {"a": linear()}, linear()
        module.parameters()
        change(vars(module))
        assert {path.rpartition(".")[0] for path in paths(module)} == expected

    def test_reordering_reorders(self):
        model = Model([Linear(2, 3, rng=0), Linear(3, 2, rng=0)])
        model.parameters()
        model.layers.reverse()
        assert model.parameters()["0.weight"].shape == (3, 2)
        model.layers.sort(key=lambda layer: layer.in_features)
        assert model.parameters()["0.weight"].shape == (2, 3)

    def test_attributes_that_come_and_go(self):
        module = Holder(linear())
        assert paths(module) == ["held.weight", "held.bias"]
        module.more = Parameter(np.ones(1))
        module.state = Buffer(0)
        assert paths(module) == ["more", "held.weight", "held.bias"]
        assert list(module.buffers()) == ["state"]
        del module.state
        module.held = None
        assert paths(module) == ["more"]
        assert module.buffers() == {}
        module.more = None
        assert paths(module) == []
        module.held = "text"
        module.held = (linear(),)
        assert paths(module) == ["held.0.weight", "held.0.bias"]

    def test_a_change_deep_below_is_seen_above(self):
        inner = Model([linear()])
        outer = Model([Model([inner])])
        outer.parameters()
        inner.layers.append(linear())
        assert "0.0.1.weight" in paths(outer)

    def test_tuples_stay_tuples(self):
        Both = namedtuple("Both", "left right")
        module = Holder(Both(linear(), [3, linear()]))
        assert type(module.held) is Both
        assert paths(module) == ["held.0.weight", "held.0.bias", "held.1.1.weight", "held.1.1.bias"]
        module.held.right.append(linear())
        assert "held.1.2.weight" in paths(module)

    def test_configuration_is_no_child(self):
        kernel, sizes = (3, 3), [1, (2, 3)]
        module = Holder(kernel)
        module.sizes = sizes
        assert module.held is kernel
        assert module.sizes == sizes
        assert list(module.named_children()) == []

    def test_a_model_is_freed_with_its_last_reference(self):
        import gc

        gc.disable()
        try:
            model = Model([linear(), ReLU()])
            model(X)
            model.backward(X)
            nnx.grad(lambda m: total(m(X)))(model)
            freed = weakref.ref(model.layers[0])
            del model
            assert freed() is None
        finally:
            gc.enable()

    def test_random_changes_are_found(self):
        rng = np.random.default_rng(0)
        model = Model([linear()])
        modules = [model]

        def grow(module):
            made = [linear(), Model([]), Holder([]), Holder({}), Holder((ReLU(), []))][rng.integers(5)]
            held = module.layers if isinstance(module, Model) else getattr(module, "held", None)
            if isinstance(held, tuple):
                held = held[1]
            if isinstance(held, dict):
                held[str(rng.integers(3))] = made
            elif held is None:
                module.extra = made
            else:
                held.insert(int(rng.integers(len(held) + 1)), made)
            modules.append(made)

        def shrink(module):
            held = module.layers if isinstance(module, Model) else getattr(module, "held", ())
            if isinstance(held, (list, dict)) and held:
                held.pop(next(iter(held)) if isinstance(held, dict) else -1)

        for _ in range(300):
            (grow if rng.random() < 0.7 else shrink)(modules[rng.integers(len(modules))])
            found = [(path, id(module)) for path, module in model.named_modules()]
            assert found == [(path, id(module)) for path, module in walk(model)]
            below = [f"{path}.{n}" if path else n for path, m in walk(model) for n in m._parameter_names]
            assert list(model.parameters()) == below
            assert list(copy.deepcopy(model).parameters()) == below
            copies = dict(nnx.tree.tree_map(lambda w: w, model).named_modules())
            assert list(copies) == [path for path, _ in found]
            assert not {id(module) for module in copies.values()} & {number for _, number in found}

    def test_two_threads_that_change_and_read(self):
        model, failed = Model([linear()]), []

        def grow():
            for seed in range(50):
                model.layers.append(linear(seed))

        def read():
            for _ in range(50):
                count = len(model.layers)
                if len(model.parameters()) < 2 * count:
                    failed.append(count)

        threads = [threading.Thread(target=run) for run in (grow, read, read)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not failed
        assert len(model.parameters()) == 102


class TestContainers:
    def test_of_a_model_are_trees_to_a_transform(self):
        module = Holder([linear(), {"a": linear(1)}])
        plan = module.plan()
        gradients = nnx.grad(lambda layers: total(layers[1]["a"](layers[0](X))))(module.held)
        assert list(gradients[1]["a"]) == ["weight", "bias"]
        gradients = nnx.grad(lambda named: total(named["a"](X)))(module.held[1])
        assert list(gradients["a"]) == ["weight", "bias"]
        assert module.plan() is plan

    def test_look_like_those_of_python(self):
        module = Module()
        module.list, module.dict = [1, [2]], {"a": {"b": 3}}
        assert module.list == [1, [2]]
        assert module.dict == {"a": {"b": 3}}
        assert repr(module.list) == "[1, [2]]"
        assert repr(module.dict) == "{'a': {'b': 3}}"
        assert isinstance(module.list, list)
        assert isinstance(module.dict, dict)
        assert type(module.list[:1]) is list
        assert type(module.list + module.list) is list
        assert type(module.dict.copy()) is dict
        assert module.dict | {"c": 1} == {"a": {"b": 3}, "c": 1}

    @pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_copies(self, twin):
        module = Module()
        module.list, module.dict = [1, [2]], {"a": {"b": linear()}}
        assert twin(module.list) == [1, [2]]
        assert list(twin(module.dict)["a"]) == ["b"]
        other = twin(module)
        assert list(other.parameters()) == ["dict.a.b.weight", "dict.a.b.bias"]
        if twin is not copy.copy:
            other.dict["a"]["c"] = linear()
            assert len(other.parameters()) == 4
            assert len(module.parameters()) == 2

    def test_an_original_that_somebody_changes_afterwards(self):
        layers, named = [linear()], {"a": [linear()]}
        module = Holder(layers)
        module.named = named
        module.parameters()
        layers.append(linear())
        with pytest.raises(
            UsageError, match=r"the list that was assigned to 'held' was changed afterwards; .*module.held"
        ):
            module.parameters()
        layers.pop()
        module.parameters()
        named["b"] = linear()
        with pytest.raises(UsageError, match="the dict that was assigned to 'named' was changed"):
            nnx.grad(lambda m: total(m.held[0](X)))(module)
        del named["b"]
        named["a"].append(linear())
        with pytest.raises(UsageError, match=r"the list that was assigned to 'named\.a' was changed"):
            module.parameters()

    def test_an_original_that_grows_in_the_constructor(self):
        class Grown(Module):
            def __init__(self):
                blocks = []
                self.blocks = blocks
                blocks.append(linear())

        with pytest.raises(UsageError, match="the list that was assigned to 'blocks' was changed"):
            Grown().parameters()

    @pytest.mark.parametrize("constants", [["a"] * 5000, dict.fromkeys(range(5000), "a")], ids=["list", "dict"])
    def test_many_constants_are_neither_copied_nor_looked_through_in_a_step(self, constants):
        module = Holder([linear()])
        module.constants = constants
        seen = []
        for _ in range(2):
            nnx.grad(lambda m: (seen.append(m.constants), total(m.held[0](X)))[1])(module)
        assert seen[0] is seen[1]
        assert seen[0] is not module.constants
        assert seen[0] == constants
        with pytest.raises(UsageError, match="cannot change 'constants' inside forward"):
            seen[0].clear()
        assert module.constants.contents is None
        constants.clear()
        with pytest.raises(UsageError, match="that was assigned to 'constants' was changed afterwards"):
            module.parameters()

    def test_constants_of_a_model_that_tree_map_made_are_its_own(self):
        module = Holder([["a"], linear()])
        module.named = {"a": 1}
        first, second = (nnx.tree.tree_map(lambda w: w + 1.0, module) for _ in range(2))
        first.held[0].append("b")
        first.named["b"] = linear()
        assert (first.held[0], second.held[0], module.held[0]) == (["a", "b"], ["a"], ["a"])
        assert [len(m.parameters()) for m in (first, second, module)] == [4, 2, 2]

    def test_an_original_that_nobody_else_holds_is_let_go(self):
        module = Holder([linear()])
        assert module.held.original is not None
        module.parameters()
        assert module.held.original is None


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner


def closure(layer):
    return lambda x: layer(x)


def objects(layer):
    array = np.empty(1, dtype=object)
    array[0] = layer
    return array


HIDING = {
    "deque": lambda m: deque([m]),
    "frozenset": lambda m: frozenset([m]),
    "set": lambda m: {m},
    "UserList": lambda m: UserList([m]),
    "UserDict": lambda m: UserDict(a=m),
    "OrderedDict": lambda m: OrderedDict(a=m),
    "mappingproxy": lambda m: types.MappingProxyType({"a": m}),
    "ndarray": objects,
    "SimpleNamespace": lambda m: types.SimpleNamespace(inner=m),
    "Slotted": Slotted,
    "partial": lambda m: functools.partial(lambda layer, x: layer(x), m),
    "method": lambda m: m.forward if isinstance(m, Linear) else Linear(1, 1).forward,
    "function": closure,
    "dict_keys": lambda m: {m: 1}.keys(),
    "dict_values": lambda m: {"a": m}.values(),
    "dict_items": lambda m: {"a": m}.items(),
}


class TestHidden:
    @pytest.mark.parametrize("kind", HIDING)
    def test_modules_are_refused_where_nothing_follows_them(self, kind):
        expected = (
            rf"'held.*': found an? Linear inside an? {kind}, where it would be neither trained nor saved; make it"
        )
        with pytest.raises(ArgumentError, match=expected):
            Holder(HIDING[kind](linear()))
        with pytest.raises(ArgumentError, match=expected):
            Holder([HIDING[kind](linear())])
        module = Holder([])
        with pytest.raises(ArgumentError, match=expected):
            module.held.append((HIDING[kind](linear()),))

    @pytest.mark.parametrize("kind", [kind for kind in HIDING if kind not in ("method", "set", "frozenset")])
    @pytest.mark.parametrize("mark", [lambda: Parameter([1.0]), lambda: Buffer(0)])
    def test_so_are_parameters_and_buffers(self, kind, mark):
        with pytest.raises(ArgumentError, match=f"found a (Parameter|Buffer) inside an? {kind}"):
            Holder(HIDING[kind](mark()))

    def test_a_view_of_a_dict_of_the_module_itself(self):
        module = Holder({"a": linear()})
        with pytest.raises(ArgumentError, match="'layers': found a Linear inside a dict_values"):
            module.layers = module.held.values()

    @pytest.mark.parametrize("key", [lambda m: m, lambda m: (1, m), lambda m: frozenset([m])])
    def test_keys(self, key):
        module = Holder({})
        expected = "'held': found a Linear as a key, where it would be neither trained nor saved; make it a value"
        for put in (
            lambda: Holder({key(linear()): 1}),
            lambda: module.held.__setitem__(key(linear()), 1),
            lambda: module.held.update({key(linear()): 1}),
            lambda: module.held.setdefault(key(linear()), 1),
        ):
            with pytest.raises(ArgumentError, match=expected):
                put()
        assert module.held == {}

    def test_slots(self):
        with pytest.raises(ArgumentError, match="the class InSlots: expected no __slots__, in which modules"):

            class InSlots(Module):
                __slots__ = ("layer",)

        with pytest.raises(ArgumentError, match="expected no __slots__"):

            @dataclasses.dataclass(slots=True)
            class Data(Module):
                layer: Module

        class Empty(Module):
            __slots__ = ()

        assert Empty().parameters() == {}

    @pytest.mark.parametrize("mark", [lambda: Parameter([1.0]), lambda: Buffer(0), lambda: nnx.Tied(linear(), "bias")])
    def test_marks_in_containers(self, mark):
        module = Module()
        module.ws, module.named = [], {}
        expected = (
            "as an attribute of its own, got one inside '(ws|named)', where it would be neither trained nor saved"
        )
        for put in (
            lambda: module.ws.append(mark()),
            lambda: module.ws.extend([mark()]),
            lambda: module.ws.insert(0, mark()),
            lambda: module.ws.__setitem__(slice(None), [mark()]),
            lambda: module.ws.append((mark(),)),
            lambda: module.named.update(a=mark()),
            lambda: setattr(module, "named", {"a": [mark()]}),
        ):
            with pytest.raises(ArgumentError, match=expected):
                put()
        assert module.ws == []

    def test_what_was_filled_later_is_found_with_the_next_module(self):
        module = Holder(deque())
        module.held.append(linear())
        with pytest.raises(ArgumentError, match="found a Linear inside a deque"):
            module.parameters()
        module = Holder([types.SimpleNamespace()])
        module.held[0].layer = linear()
        with pytest.raises(ArgumentError, match="found a Linear inside a SimpleNamespace"):
            module.parameters()

    def test_a_parameter_or_module_of_a_class(self):
        with pytest.raises(ArgumentError, match=r"'layer' of the class Net: expected .* in __init__, got a Linear"):

            class Net(Module):
                layer = Linear(2, 2)

        with pytest.raises(ArgumentError, match=r"'w' of the class Net: expected .*, got a Parameter"):

            class Net(Module):
                w = Parameter([1.0])

    def test_what_holds_no_module_is_welcome(self):
        for value in (
            *(nnx.functional.relu, nnx.functional, np.float32, np.dtype("float32"), nnx.generator(0), lambda x: x),
            *(deque([1]), {1, 2}, functools.partial(nnx.functional.softmax, axis=0), nnx.initializers.HeNormal()),
            *(np.ones(2), types.SimpleNamespace(a=1), Linear, object(), nnx.data, nnx.MSE),
        ):
            module = Holder(value)
            assert module.held is value
            assert module.parameters() == {}

    def test_what_is_put_past_the_attributes_is_found_with_the_next_change(self):
        class Past(Module):
            def __init__(self, layer):
                self.__dict__.update(layer=layer)

        with pytest.raises(ArgumentError, match=r"'layer': found a Linear that was put into vars\(Past\)"):
            Past(linear()).parameters()

        class Cached(Module):
            @functools.cached_property
            def layer(self):
                return linear()

            def forward(self, x):
                return self.layer(x)

        module = Cached().eval()
        module(X)
        with pytest.raises(ArgumentError, match=r"'layer': found a Linear that was put into vars\(Cached\)"):
            module.parameters()

    def test_weak_references_are_no_children(self):
        model = Model([linear(), Module()])
        model[1].parent, model[1].proxy = weakref.ref(model), weakref.proxy(model)
        assert paths(model) == ["0.weight", "0.bias"]
        assert model[1].proxy.layers is model.layers


class TestAssignments:
    def test_property_setters_are_honoured(self):
        class Scaled(Module):
            def __init__(self):
                self.log_scale = Parameter([0.0])

            @property
            def scale(self):
                return self.log_scale * 2.0

            @scale.setter
            def scale(self, value):
                self.log_scale = np.asarray([value / 2.0], np.float32)

            @property
            def fixed(self):
                return 1

        module = Scaled()
        module.scale = 5.0
        assert_close(module.log_scale, np.asarray([2.5], np.float32))
        assert "scale" not in vars(module)
        with pytest.raises(AttributeError, match="no setter"):
            module.fixed = 2

    def test_an_error_inside_a_property_is_its_own(self):
        class Broken(Module):
            @property
            def scale(self):
                return self.nothing

        with pytest.raises(AttributeError, match="'Broken' object has no attribute 'nothing'"):
            _ = Broken().scale

    def test_another_shape_is_refused(self):
        model = Model([Linear(8, 3, rng=0)])
        before = model[0].weight
        with pytest.raises(
            ShapeError,
            match=r"of shape \(8, 3\) in place of the parameter 'weight', got \(3, 3\); assign nnx.Parameter",
        ):
            model[0].weight = np.zeros((3, 3))
        assert model[0].weight is before
        model[0].weight = Parameter(np.zeros((3, 3)))
        assert model.parameters()["0.weight"].shape == (3, 3)

    def test_replacing_parameters_lists_what_does_not_fit(self):
        model = Model([Linear(3, 2, rng=0)])
        before = model.parameters()
        with pytest.raises(ArgumentError) as caught:
            model.replace_parameters(
                {"0.weigth": np.zeros((3, 2)), "0.weight": np.zeros((3, 3), np.float32), "0.bias": np.zeros(2)}
            )
        for part in (
            "0.weigth: not in the model",
            "0.weight: expected shape (3, 2), got (3, 3)",
            "0.bias: expected dtype float32, got float64",
        ):
            assert part in str(caught.value)
        assert all(model.parameters()[path] is w for path, w in before.items())
        with pytest.raises(ArgumentError, match=r"0\.bias: expected an array, got float"):
            model.replace_parameters({"0.bias": 1.0})

    def test_an_array_does_not_take_the_place_of_a_buffer(self):
        module = Module()
        module.mean = Buffer(np.zeros(2))
        with pytest.raises(ArgumentError, match=r"'mean' is a Buffer: write module\.mean\.value"):
            module.mean = np.ones(2)
        with pytest.raises(ArgumentError, match="'mean' is a Buffer"):
            module.mean = 0
        module.mean = Buffer(np.ones(2))
        assert list(module.state_dict()) == ["mean"]

    def test_names_that_modules_use_themselves(self):
        with pytest.raises(ArgumentError, match=r"Module: expected another name than '_kept', which nnx.Module uses"):
            Module()._kept = 1

    def test_what_a_module_takes(self):
        with pytest.raises(TypeError, match="ReLU takes no arguments, got 3"):
            ReLU(3)

    def test_modules_that_reuse_the_names_of_methods(self):
        class Planned(Module):
            def __init__(self):
                self.plan, self.parameters_of = linear(), 3

        assert paths(Planned()) == ["plan.weight", "plan.bias"]


class TestOneArrayInTwoSlots:
    def test_is_refused_with_both_paths(self):
        model = Model([linear(), linear(1)])
        model.parameters()
        model[1].weight = model[0].weight
        expected = (
            r"'0\.weight' and '1\.weight', which would be trained apart; tie them with module\.weight = nnx\.Tied"
        )
        for use in (
            model.parameters,
            model.state_dict,
            lambda: model(X),
            lambda: nnx.grad(lambda m: total(m(X)))(model),
        ):
            with pytest.raises(ArgumentError, match=expected):
                use()
        model[1].weight = 1.0 * model[0].weight
        model(X)

    @pytest.mark.parametrize("view", [lambda w: w[...], lambda w: w.T, lambda w: w[:1, :]])
    def test_also_as_a_view(self, xp, view):
        if xp.name not in ("numpy", "numpy-readonly", "torch"):
            pytest.skip("views are not seen, or there are none")
        model = Model([linear(), linear(1)]).to(xp.spec)
        model[1].weight = Parameter(view(model[0].weight))
        with pytest.raises(ArgumentError, match=r"the value of two parameters, '0\.weight' and '1\.weight'"):
            model.parameters()

    def test_but_parts_of_one_array_may_be(self):
        array = np.zeros((4, 3), np.float32)
        parts = [array[:2, :2], array[2:, :2], array[:, 2]]

        class Parts(Module):
            def __init__(self):
                self.a, self.b, self.c = map(Parameter, parts)
                self.empty, self.also = (Parameter(array[:0]) for _ in range(2))

        assert len(Parts().parameters()) == 5

    def test_also_in_one_module_and_when_made(self):
        array = np.ones(2)

        class Two(Module):
            def __init__(self):
                self.a, self.b = Parameter(array), Parameter(array)

        with pytest.raises(ArgumentError, match="'a' and 'b'"):
            Two().parameters()

    def test_also_by_replacing(self):
        model = Model([linear(), linear(1)])
        array = np.ones((2, 2), np.float32)
        model.replace_parameters({"0.weight": array, "1.weight": array})
        with pytest.raises(ArgumentError, match="one array is the value of two parameters"):
            model.parameters()

    def test_but_a_state_may_hold_one_twice(self):
        model = Model([linear(), linear(1)])
        state = model.state_dict()
        state["1.weight"] = state["0.weight"].T
        model.load_state_dict(state)
        assert_close(model[1].weight, model[0].weight.T, rtol=0.0)
        state["1.weight"] = state["0.weight"]
        model.load_state_dict(state)
        assert_close(model[1].weight, model[0].weight, rtol=0.0)
        assert len(model.parameters()) == 4


CHANGE = [None]  # not an attribute: a function of a module may not hold the module


class TestWrites:
    class Counting(Module):
        def __init__(self):
            self.count, self.seen, self.named = 0, [], {"a": []}
            self.inner = linear()
            self.calls = Buffer(0)

        def forward(self, x):
            CHANGE[0](self)
            self.calls.value += 1
            return self.inner(x)

    CHANGES = types.MappingProxyType(
        {
            "attribute": lambda self: setattr(self, "count", self.count + 1),
            "new attribute": lambda self: setattr(self, "other", 1),
            "deletion": lambda self: delattr(self, "count"),
            "list": lambda self: self.seen.append(1),
            "dict": lambda self: self.named.update(b=1),
            "list in a dict": lambda self: self.named["a"].append(1),
            "inner attribute": lambda self: setattr(self.inner, "out_features", 1),
            "parameter": lambda self: setattr(self.inner, "bias", 2.0 * self.inner.bias),
            "module": lambda self: setattr(self, "inner", linear()),
            "to": lambda self: self.inner.to(dtype="float64"),
            "load_state_dict": lambda self: self.load_state_dict(self.state_dict()),
            "replace_parameters": lambda self: self.replace_parameters({}),
            "a step": lambda self: nnx.SGD(self.inner, 0.1).step(self.inner.parameters()),
            "eval": lambda self: self.inner.eval(),
        }
    )

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize(
        "call",
        [
            lambda m: m(X),
            lambda m: m.eval()(X),
            lambda m: Model([m])(X),
            lambda m: Model([m]).eval()(X),
            lambda m: nnx.grad(lambda m: total(m(X)))(m),
            lambda m: nnx.grad(lambda x: total(m(x)))(X),
            lambda m: nnx.jvp(lambda x: m(x), (X,), (X,)),
            lambda m: nnx.layer_outputs(m, X),
        ],
    )
    def test_in_forward_are_refused(self, change, call):
        module = self.Counting()
        CHANGE[0] = self.CHANGES[change]
        with pytest.raises(
            UsageError, match=r"cannot change '?[a-zA-Z].+ inside forward, .* keep what forward changes in a Buffer"
        ):
            call(module)
        assert (module.count, module.seen, module.named) == (0, [], {"a": []})

    def test_of_buffers_and_of_what_forward_makes_are_fine(self):
        module = self.Counting()

        def make(self):
            made = Model([linear(), linear()])
            made.layers.append(ReLU())
            made[0].bias = None
            made.eval()
            made(X)

        CHANGE[0] = make
        module(X)
        module.backward(X)
        module.eval()(X)
        nnx.grad(lambda m: total(m(X)))(module)
        assert module.calls.value == 3

    def test_after_the_call_are_fine_again(self):
        module = self.Counting()
        CHANGE[0] = lambda self: (_ for _ in ()).throw(KeyError)
        with pytest.raises(KeyError):
            module.eval()(X)
        module.count = 1
        module.seen.append(1)
        module.train()

    def test_in_another_thread_are_that_threads_affair(self):
        module = self.Counting().eval()
        done = []

        def other():
            module.count = 7
            done.append(True)

        def change(self):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

        CHANGE[0] = change
        module(X)
        assert done == [True]

    def test_of_what_a_transform_returns_are_free(self):
        model = Model([linear(), nnx.Reparameterization(seed=0)])
        half = nnx.tree.tree_map(lambda w: 0.5 * w, model)
        half.eval()
        half.layers.append(ReLU())
        half[0].bias = None
        half[1].calls.value = 5
        assert (len(model), model.training, model[1].calls.value) == (2, True, 0)
        half.train()[0](X)
        half[0].backward(X)
        assert type(nnx.stop_gradient(model)) is Model

    def test_what_stops_gradients_shares_buffers(self):
        class Stopped(Module):
            def __init__(self):
                self.inner = nnx.Reparameterization(seed=0)

            def forward(self, x):
                return nnx.stop_gradient(self.inner)(x, x)

        module = Stopped()
        module(X)
        assert module.inner.calls.value == 1


class InPlace(Module):
    """Scales by the number of its calls, which it counts by writing into the array of a buffer."""

    def __init__(self):
        self.count = Buffer(np.zeros((1,), np.float32))
        self.weight = Parameter(np.ones(2, np.float32))

    def forward(self, x):
        self.count.value += 1.0
        return x * self.weight * self.count.value


class TestBuffersWrittenInPlace:
    def test_computing_again_draws_the_same(self):
        def loss(model):
            return total(model(X))

        plain, again = InPlace(), nnx.remat(InPlace())
        for _ in range(2):
            assert_close(nnx.grad(loss)(again)["inner.weight"], nnx.grad(loss)(plain)["weight"], rtol=0.0)
        assert float(plain.count.value[0]) == float(again.inner.count.value[0]) == 2.0

    def test_settling_counts_once(self):
        model = Model([InPlace(), Linear(None, 2, rng=0)])
        model(X)
        assert float(model[0].count.value[0]) == 1.0

    def test_looking_at_the_layers_changes_nothing(self):
        model = InPlace()
        nnx.layer_outputs(model, X)
        assert float(model.count.value[0]) == 0.0

    def test_a_state_stays_as_it_was(self):
        model = InPlace()
        model(X)
        state, other = model.state_dict(), tree_map(lambda leaf: leaf, model)
        model(X)
        assert float(state["count"][0]) == float(other.count.value[0]) == 1.0
        model.load_state_dict(state)(X)
        assert float(state["count"][0]) == 1.0


class TestTies:
    def test_a_tie_to_a_tie_is_computed_again(self):
        model = Model([linear(seed) for seed in range(3)])
        model[1].weight = nnx.Tied(model[0], "weight", transpose=True)
        model[2].weight = nnx.Tied(model[1], "weight", transpose=True)
        found = nnx.grad(lambda m: total(m(X)))(nnx.remat(model))
        expected = nnx.grad(lambda m: total(m(X)))(model)
        assert_close(found, {f"inner.{path}": gradient for path, gradient in expected.items()}, rtol=0.0)

    @staticmethod
    def tied(*, transpose=False):
        rng = nnx.generator(0)
        model = Model([Linear(2, 2, rng=rng), ReLU(), Linear(2, 2, rng=rng)])
        model[2].weight = nnx.Tied(model[0], "weight", transpose=transpose)
        return model

    @pytest.mark.parametrize("transpose", [False, True])
    def test_gradients_add_up_at_the_owner(self, xp, transpose):
        model = self.tied(transpose=transpose).to(xp.spec)
        assert list(model.parameters()) == ["0.weight", "0.bias", "2.bias"]

        def by_hand(weight):
            hidden = nnx.functional.relu(nnx.functional.linear(x, weight, model[0].bias))
            return total(nnx.functional.linear(hidden, weight.T if transpose else weight, model[2].bias) ** 2)

        x = xp.asarray([[1.0, -2.0], [0.5, 3.0]])
        _, gradients = nnx.value_and_grad(lambda m: total(m(x) ** 2))(model)
        assert_close(gradients["0.weight"], nnx.grad(by_hand)(model[0].weight))
        y = model(x)
        model.backward(2.0 * y)
        assert_close(model.gradients()["0.weight"], gradients["0.weight"])

    def test_reading_gives_the_owners_current_array(self):
        model = self.tied()
        assert model[2].weight is model[0].weight
        model[0].weight = 2.0 * model[0].weight
        assert model[2].weight is model[0].weight
        model(X)
        model.backward(X)
        model.update(0.1)
        assert model[2].weight is model[0].weight
        assert_close(self.tied(transpose=True)[2].weight, self.tied()[0].weight.T)

    def test_is_saved_and_moved_once(self):
        model = self.tied().to(dtype="float64")
        assert list(model.state_dict()) == ["0.weight", "0.bias", "2.bias"]
        assert model[2].weight.dtype == np.float64
        other = self.tied().load_state_dict(self.tied().state_dict())
        assert other[2].weight is other[0].weight

    @pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_survives_copies(self, twin):
        model = self.tied(transpose=True)
        other = twin(model)
        other[0].weight = 0.0 * other[0].weight
        assert not other[2].weight.any()
        assert model[2].weight.any()
        assert list(other.parameters()) == ["0.weight", "0.bias", "2.bias"]

    def test_in_another_model_by_tree_map(self):
        half = nnx.tree.tree_map(lambda w: 0.5 * w, self.tied())
        assert half[2].weight is half[0].weight
        assert_close(half[0].weight, 0.5 * self.tied()[0].weight)

    def test_to_the_parameter_of_a_parent(self):
        class Parent(Module):
            def __init__(self):
                self.w = Parameter(np.ones(2))
                self.child = Module()
                self.child.w = nnx.Tied(self, "w")

            def forward(self, x):
                return self.w * self.child.w * x

        parent = Parent()
        assert list(parent.parameters()) == ["w"]
        assert_close(nnx.grad(lambda m: total(m(np.ones(2))))(parent)["w"], np.full(2, 2.0))
        assert "Tied('w')" in repr(parent)
        assert list(copy.deepcopy(parent).parameters()) == ["w"]

    def test_ends(self):
        model = self.tied()
        del model[2].weight
        with pytest.raises(AttributeError, match="'Linear' object has no attribute 'weight'"):
            _ = model[2].weight
        model[2].weight = Parameter(np.zeros((2, 2), np.float32))
        assert "2.weight" in model.parameters()
        model = self.tied()
        model[2].weight = Parameter(np.zeros((2, 2), np.float32))
        assert "2.weight" in model.parameters()

    def test_a_plain_array_does_not_end_it(self):
        with pytest.raises(
            ArgumentError, match=r"'weight' is tied to 'weight' of a Linear: assign to that, or end the tie"
        ):
            self.tied()[2].weight = np.zeros((2, 2), np.float32)

    def test_the_owner_must_be_in_the_model(self):
        model = self.tied()
        for use in (model[2].parameters, lambda: model[2](X), lambda: nnx.grad(lambda m: total(m(X)))(model[2])):
            with pytest.raises(
                UsageError, match="'weight' of Linear is tied to 'weight' of a Linear that is not in this"
            ):
                use()
        assert model[2].eval()(X).shape == (1, 2)

    def test_the_owner_must_have_its_parameter(self):
        model = self.tied()
        model[0].weight = None
        with pytest.raises(UsageError, match=r"a Linear that has no such parameter any more; end the tie, with del"):
            model.parameters()

    def test_chains_and_circles(self):
        a, b, c = linear(0), linear(1), linear(2)
        b.weight = nnx.Tied(a, "weight")
        c.weight = nnx.Tied(b, "weight", transpose=True)
        model = Model([a, b, c])
        assert list(model.parameters()) == ["0.weight", "0.bias", "1.bias", "2.bias"]
        assert_close(c.weight, a.weight.T)
        for tie in (nnx.Tied(c, "weight"), nnx.Tied(a, "weight")):
            with pytest.raises(
                ArgumentError, match="expected 'weight' tied to the parameter of another module, got a tie"
            ):
                a.weight = tie
        gradients = nnx.grad(lambda m: total(m[2].weight * np.asarray([[1.0, 2.0], [3.0, 4.0]], np.float32)))(model)
        assert_close(gradients["0.weight"], np.asarray([[1.0, 3.0], [2.0, 4.0]], np.float32))

    def test_wrong_owners(self):
        with pytest.raises(ArgumentError, match="expected a module with a parameter 'nothing' to tie to, got Linear"):
            nnx.Tied(linear(), "nothing")
        with pytest.raises(ArgumentError, match="expected a module with a parameter 'w' to tie to, got int"):
            nnx.Tied(3, "w")
        with pytest.raises(ShapeError, match=r"expected a matrix to transpose, got 'bias' of shape \(2,\)"):
            nnx.Tied(linear(), "bias", transpose=True)


class TestPickling:
    def test_of_an_error_with_the_place_where_it_arose(self):
        for call in (lambda m: m(np.ones((1, 9), np.float32)), lambda m: nnx.grad(lambda m: m(np.ones((1, 9))))(m)):
            with pytest.raises((ShapeError, DTypeError)) as caught:
                call(Model([linear()]))
            again = pickle.loads(pickle.dumps(caught.value))
            assert str(again) == str(caught.value)
            assert str(again).startswith("Linear '0': expected input of ")

    def test_of_an_error_of_the_user(self):
        class Broken(Module):
            def forward(self, x):
                raise KeyError("mine")

        with pytest.raises(KeyError) as caught:
            nnx.grad(lambda m, x: m(x), argnums=1)(Model([Broken()]), X)
        assert pickle.loads(pickle.dumps(caught.value)).__notes__ == ["in the module Broken '0'"]

    def test_of_a_model_after_its_backward(self):
        model = Model([linear(), ReLU()])
        model(X)
        model.backward(X)
        again = pickle.loads(pickle.dumps(model))
        assert_close(again.gradients(), model.gradients())
        assert_close(again.eval()(X), model.eval()(X))
