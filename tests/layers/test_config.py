"""A module is made again from data, as it is now, and nothing that a file names is imported."""

import copy
import json
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import nnx
from nnx import Linear, Model, Module, Parameter, ReLU, Softmax, from_config
from nnx.errors import ArgumentError, UsageError
from nnx.layers.remembering import Configured
from nnx.testing import assert_close
from tests.helpers.rows import LAYERS, LOSSES

X = np.ones((2, 3), np.float32)


def again(module, **options):
    """Make a module again by way of JSON, with the same values."""
    made = from_config(json.loads(json.dumps(module.config(), allow_nan=False)), **options)
    assert made.config() == module.config()
    assert repr(made) == repr(module)
    return made.load_state_dict(module.state_dict())


class Scaled(Module):
    def __init__(self, sizes, scale=2.0, *names, kind=(1, "a"), options=None, **rest):
        self.sizes, self.factor, self.kind = sizes, 1.0 / scale, kind
        self.given = (names, options, rest)
        self.w = Parameter(np.full(sizes[0], self.factor))

    def forward(self, x):
        return x * self.w


class Residual(Module):
    def __init__(self, inner, blocks=()):
        self.inner = inner
        self.blocks = [Model([block]) for block in blocks]


class Composed(Module):
    def __init__(self, width):
        self.first, self.last = Linear(3, width), Linear(width, 3)
        self.last.weight = nnx.Tied(self.first, "weight", transpose=True)

    def forward(self, x):
        return self.last(self.first(x))


@dataclass
class Held(Module):
    size: int
    inner: object = None

    def forward(self, x):
        return x


@pytest.mark.parametrize("row", [*LAYERS, *LOSSES], ids=lambda row: row.id)
def test_round_trip_of_every_layer_and_loss(row):
    again(row.make("float32") if row.make else row.call)


def test_says_all_arguments():
    assert Linear(3, 2, bias=False, initializer=nnx.initializers.Normal(std=0.1), rng=0).config() == {
        "type": "Linear",
        "in_features": 3,
        "out_features": 2,
        "bias": False,
        "initializer": {"type": "Normal", "mean": 0.0, "std": 0.1},
        "dtype": "float32",
    }
    assert Linear(1, 1, dtype=np.float64).config()["dtype"] == "float64"
    assert nnx.CrossEntropy(np.asarray([1.0, 2.0])).config()["weight"] == {
        "type": "array",
        "dtype": "float64",
        "values": [1.0, 2.0],
    }


def test_arguments_of_every_kind():
    module = Scaled([3], 4.0, "one", "two", options={"a": [1, None]}, deep=float("inf"))
    made = again(module, allow=[Scaled])
    assert made.given == module.given
    assert type(made.kind) is tuple
    assert made.factor == 0.25
    assert from_config(Scaled((3,), np.float64(4.0), kind=[np.int64(3)]).config(), allow=[Scaled]).kind == [3]


def test_a_dataclass():
    assert Held(3, ReLU()).config()["size"] == 3
    assert type(again(Held(3, ReLU()), allow=[Held]).inner) is ReLU


def test_the_generator_is_given_anew():
    made = [from_config(Linear(3, 2, rng=0).config(), rng=nnx.generator(5)) for _ in range(2)]
    assert_close(made[0].weight, made[1].weight, rtol=0.0)


class TestChanges:
    """What was changed after construction is in the configuration, or there is none."""

    def test_attributes_that_are_the_argument(self):
        softmax = Softmax()
        softmax.axis = 0
        assert again(softmax).axis == 0
        residual = Residual(ReLU())
        residual.inner = Softmax()
        assert type(again(residual, allow=[Residual]).inner) is Softmax
        noise = nnx.Reparameterization(seed=3)
        noise.seed.value = 4
        assert again(noise).config()["seed"] == 4

    def test_layers_of_a_model(self):
        model = Model(layer for layer in [Linear(3, 4), ReLU()])
        model.layers.append(Linear(4, 2))
        model[0].bias = None
        model.layers[1] = Softmax()
        made = again(model.to(dtype="float64"))
        x = X.astype("float64")
        assert_close(made(x), model(x))

    def test_sizes_that_were_settled(self):
        model = Model([Linear(None, 2), Linear(None, 2, bias=False)])
        assert model.config()["layers"][0]["in_features"] is None
        model(X)
        assert_close(again(model)(X), model(X))

    def test_what_no_argument_tells(self):
        changed = "modules were added, removed, replaced or changed after construction"
        for change, expected in (
            (lambda m: setattr(m, "head", ReLU()), changed),
            (lambda m: m.blocks.append(ReLU()), "'blocks' was changed after construction"),
            (lambda m: m.blocks[0].layers.append(ReLU()), changed),
            (lambda m: setattr(m, "blocks", None), "'blocks' was changed after construction"),
        ):
            module = Residual(ReLU(), [ReLU()])
            module.config()
            change(module)
            with pytest.raises(UsageError, match=expected):
                module.config()
            assert repr(module).startswith("Residual(")
        bare = Module()
        bare.head = ReLU()
        with pytest.raises(UsageError, match=changed):
            bare.config()
        scaled = Scaled([3])
        scaled.kind = scaled.sizes = None
        assert scaled.config()["sizes"] is None

    @pytest.mark.parametrize(
        "change",
        [
            lambda m: setattr(m.drop, "probability", 0.5),
            lambda m: setattr(m.attention_norm, "eps", 1.0),
            lambda m: nnx.replace(m, "attention_norm", nnx.LayerNorm(4, eps=1.0)),
        ],
    )
    def test_modules_that_a_constructor_made(self, change):
        block = nnx.TransformerEncoderBlock(4, 2)
        again(block)
        change(block)
        with pytest.raises(UsageError, match="replaced or changed after construction"):
            block.config()

    @pytest.mark.parametrize(
        "module", [nnx.TransformerEncoderBlock(4, 2), nnx.LSTM(3, 2), nnx.BatchNorm1d(3, affine=False)]
    )
    def test_the_dtype_of_modules_below(self, module):
        config = copy.deepcopy(module).to(dtype="float64").config()
        assert config["dtype"] == "float64"
        assert from_config(config).config() == config

    def test_sizes_of_modules_that_a_constructor_made(self):
        class Pair(Module):
            def __init__(self):
                self.first, self.second = Linear(None, 3), nnx.LSTM(None, 2)

            def forward(self, x):
                return self.second(nnx.namespace(x).expand_dims(self.first(x), axis=1))[0]

        pair = Pair()
        pair(X)
        assert pair.config()["type"].endswith("Pair")

    def test_an_attribute_that_differs_from_the_argument_of_its_name(self):
        class Half(Module):
            def __init__(self, scale):
                self.scale = scale / 2

        half = Half(4.0)
        assert half.config()["scale"] == 4.0
        half.scale = 1.0
        with pytest.raises(UsageError, match="'scale' was changed after construction, and the constructor had made it"):
            half.config()
        assert repr(half) == "Half(scale=4.0)"


class TestSharing:
    def test_of_a_module(self):
        shared = Linear(3, 3)
        made = again(Model([shared, Model([ReLU(), shared])]))
        assert made[1][1] is made[0]
        assert len(made.parameters()) == 2

    def test_of_parameters(self):
        model = Model([Linear(3, 4), Linear(4, 3)])
        model[1].weight = nnx.Tied(model[0], "weight", transpose=True)
        made = again(model)
        assert len(made.parameters()) == 3
        assert_close(made(X), model(X))
        assert "(1): Linear(in_features=4, out_features=3, weight=Tied('0.weight', transpose=True))" in repr(made)

    def test_of_parameters_in_a_constructor(self):
        made = again(Model([Composed(2)]), allow=[Composed])
        assert made[0].last.weight.base is made[0].first.weight

    def test_a_tie_to_nowhere(self):
        config = Linear(3, 4).config() | {"ties": [{"at": "weight", "to": "0.weight", "transpose": False}]}
        with pytest.raises(ArgumentError, match="expected a tie between attributes of modules that are in the model"):
            from_config(config)

    @pytest.mark.parametrize("at", ["0.forward", "0.__class__", "0.training", "__dict__", "2.weight"])
    def test_a_tie_of_what_a_class_defines(self, at):
        config = Model([Linear(3, 3), Linear(3, 3)]).config()
        with pytest.raises(ArgumentError, match="expected a tie between attributes of modules"):
            from_config(config | {"ties": [{"at": at, "to": "1.weight", "transpose": False}]})

    @pytest.mark.parametrize("tie", [5, {}, {"at": "weight"}, {"at": "weight", "to": "bias", "transpose": 1}])
    def test_what_is_no_tie(self, tie):
        with pytest.raises(ArgumentError, match="expected a tie between attributes of modules"):
            from_config(Linear(3, 4).config() | {"ties": [tie]})
        with pytest.raises(ArgumentError, match="expected a list of ties, got "):
            from_config(Linear(3, 4).config() | {"ties": tie})


class TestRefusals:
    def test_what_json_cannot_hold(self):
        layer = Linear(3, 2, initializer=lambda rng, shape, fan_in, fan_out: np.zeros(shape))
        with pytest.raises(
            ArgumentError,
            match=r"^layers\.1\.initializer: expected an argument that JSON can "
            r"hold, a module or an initializer, got a function",
        ) as caught:
            Model([ReLU(), layer]).config()
        assert "initializer=<a function>" in repr(layer)
        assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
        with pytest.raises(ArgumentError, match=r"options: expected an argument that JSON can hold, .*, got a set"):
            Scaled([1], options={1, 2}).config()

    def test_large_arrays(self):
        class Table(Module):
            def __init__(self, values):
                self.values = values

        assert again(Table(np.ones((2, 3))), allow=[Table]).values.shape == (2, 3)
        with pytest.raises(ArgumentError, match=r"values: expected an argument that JSON can hold, .*, got a ndarray"):
            Table(np.ones(20_000)).config()

    def test_arrays_keep_every_digit(self):
        weight = np.asarray([0.1, 1.0 / 3.0])
        made = again(nnx.CrossEntropy(weight))
        assert made.weight.dtype == np.float64
        assert made.weight.tolist() == weight.tolist()

    @pytest.mark.parametrize(
        ("values", "dtype"), [([[1.0], [1.0, 2.0]], "float32"), (["a"], "float32"), (10**400, "float32")]
    )
    def test_what_is_no_array(self, values, dtype):
        config = nnx.CrossEntropy().config() | {"weight": {"type": "array", "dtype": dtype, "values": values}}
        with pytest.raises(ArgumentError, match="weight: cannot make an array: "):
            from_config(config)

    @pytest.mark.parametrize("dtype", ["number", "object", "U99999999", "V1000000000", "float32\n"])
    def test_what_is_no_dtype(self, dtype):
        with pytest.raises(ArgumentError, match="config: expected an array of numbers or booleans, got '"):
            from_config({"type": "array", "dtype": dtype, "values": [1] * 100})

    @pytest.mark.parametrize("form", [lambda x: [x], lambda x: {"type": "Sequential", "layers": [x]}])
    def test_what_is_too_deep(self, form):
        config = 1
        for _ in range(200_000):
            config = form(config)
        with pytest.raises(
            ArgumentError, match=r"config: expected at most 200 levels, got more at \w+\.\w+\..*\.\.\.$"
        ):
            from_config({"type": "Linear", "in_features": config})

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"type": "Linear", "in_features": 10**400, "out_features": 2}, "Linear cannot be made: "),
            ({"type": "Linear", "in_features": 10**9, "out_features": 10**9}, "Linear cannot be made: "),
            ({"type": "Linear", "in_features": 10**9, "out_features": 10**30}, "Linear cannot be made: "),
            ({"type": "Linear", "in_features": {"type": "float", "value": "inf"}, "out_features": 2}, "integer of at"),
            ({"type": "Embedding", "num_embeddings": 10**30, "features": 3}, "Embedding"),
            ({"type": "dict", "items": 5}, "names 'dict', which is neither a class of nnx nor"),
            ({"type": "tuple", "items": 5}, "names 'tuple', which is neither a class of nnx nor"),
            ({"type": "shared", "at": []}, "names 'shared', which is neither a class of nnx"),
            ({"type": "Linear", 3: 4}, "config: expected keys that are strings, got"),
            ({"type": "Sequential", "layers": 5}, "expected a list of modules, got one int"),
            ([[1]] * 10**5, "expected a mapping with a type, got"),
            ({"type": "x" * 10**6}, r"the configuration names 'x+\.\.\.x+', which is neither"),
            ({"type": "Linear", "x" * 10**6: 1}, r"config: Linear takes no 'x+\.\.\.x+'$"),
        ],
    )
    def test_hostile_values(self, config, message):
        with pytest.raises(ArgumentError, match=message) as caught:
            from_config(config)
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)

    def test_what_is_no_number(self):
        config = nnx.CrossEntropy().config() | {"label_smoothing": {"type": "float", "value": "many"}}
        with pytest.raises(ArgumentError, match="names 'float', which is neither a class of nnx nor allowed"):
            from_config(config)

    def test_arrays_are_let_go(self):
        import weakref

        class Sum(Module):
            def __init__(self, values):
                self.total = float(values.sum())

        values = np.ones(3)
        freed = weakref.ref(values)
        module = Sum(values)
        del values
        assert freed() is None
        with pytest.raises(ArgumentError, match=r"values: expected .*, got an array"):
            module.config()

    def test_classes_that_were_not_allowed(self):
        config = Model([Scaled([3])]).config()
        with pytest.raises(
            ArgumentError, match=r"names 'tests\.layers\.test_config\.Scaled', which is neither a class of"
        ):
            from_config(config)
        for name in (
            "os.system",
            "subprocess.Popen",
            "builtins.eval",
            "numpy.ones",
            "generator",
            "Parameter",
            "_Scaled",
        ):
            with pytest.raises(ArgumentError, match=rf"the configuration names '{name}', which is neither"):
                from_config({"type": name, "command": "true"}, allow=[Scaled])

    def test_a_class_of_the_user_never_stands_for_one_of_nnx(self):
        other = type("Linear", (Module,), {"__module__": "elsewhere", "__init__": lambda self, a: None})
        assert other(3).config()["type"] == "elsewhere.Linear"
        assert type(from_config(other(3).config(), allow=[other])) is other
        assert type(from_config(Linear(1, 1).config(), allow=[other])) is Linear

    def test_a_class_that_moved(self):
        config = Scaled([3]).config() | {"type": "the.old.place.Scaled"}
        assert type(from_config(config, allow=[Scaled, Held])) is Scaled

    def test_what_is_no_configuration(self):
        for wrong in ({}, {"type": 3}, {"type": "shared", "at": "0"}):
            with pytest.raises(ArgumentError, match=r"expected a mapping with a type, got|neither a class of nnx"):
                from_config(wrong)
        for wrong in ([], 3, None):
            with pytest.raises(ArgumentError, match=r"config: expected a mapping with a type, got"):
                from_config(wrong)
        with pytest.raises(ArgumentError, match=r"layers\.1: Linear cannot be made: .* missing 2 required positional"):
            from_config({"type": "Sequential", "layers": [{"type": "ReLU"}, {"type": "Linear"}]})
        with pytest.raises(ArgumentError, match=r"config: Linear takes no 'rates', 'sizes'"):
            from_config({"type": "Linear", "in_features": 1, "out_features": 1, "sizes": 3, "rates": 1})

    def test_arguments_named_like_what_a_configuration_uses(self):
        class Typed(Module):
            def __init__(self, type):
                self.type = type

        with pytest.raises(ArgumentError, match=r"Typed: expected arguments of other names than \['frozen', "):
            Typed(3).config()


def test_what_is_no_module_may_remember_its_arguments_too():
    class Rule(Configured):
        _not_configuration = frozenset({"model"})

        def __init__(self, model, rate=0.1):
            self.model, self.rate = model, rate

    from nnx.layers.config import build, config_of

    rule = Rule(ReLU())
    rule.rate = 0.5
    name = f"{__name__}.{Rule.__qualname__}"
    assert config_of(rule) == {"type": name, "rate": 0.5}
    model = ReLU()
    made = build(config_of(rule), {}, allow=[Rule], given={"model": model})
    assert (made.model, made.rate) == (model, 0.5)
