import copy
import weakref
from collections import namedtuple

import numpy as np
import pytest

import nnx
from nnx import Buffer, Linear, Model, Module, Parameter, ReLU
from nnx.errors import (
    ArgumentError,
    BackendError,
    CheckpointError,
    DeviceError,
    DTypeError,
    NnxError,
    ShapeError,
    UsageError,
)
from nnx.testing import assert_close

F32 = np.float32


def total(x):
    return nnx.namespace(x).sum(x)


def mlp(rng=0):
    rng = nnx.generator(rng)
    return Model([Linear(3, 4, rng=rng), ReLU(), Linear(4, 2, rng=rng)])


class Branches(Module):
    """Modules in every kind of place."""

    def __init__(self, rng=0):
        rng = nnx.generator(rng)
        self.first = Linear(2, 2, rng=rng)
        self.listed = [Linear(2, 2, rng=rng), (Linear(2, 2, rng=rng), "text")]
        self.named = {"left": Linear(2, 2, rng=rng), "deep": {"er": [Linear(2, 2, rng=rng)]}}
        self.scale = Parameter([1.0, 2.0])
        self.calls = Buffer(0)
        self.constant = np.ones(2, F32)

    def forward(self, x):
        self.calls.value += 1
        x = self.listed[1][0](self.listed[0](self.first(x)))
        return self.scale * self.named["deep"]["er"][0](self.named["left"](x)) + self.constant


PATHS = ["first", "listed.0", "listed.1.0", "named.left", "named.deep.er.0"]


class TestAttributes:
    def test_reading_a_parameter_gives_the_array(self, xp):
        array = xp.asarray([1.0])
        module = Module()
        module.weight = Parameter(array)
        assert module.weight is array
        assert module.parameters() == {"weight": array}

    def test_assignment_replaces_the_array_and_keeps_the_mark(self):
        module = Module()
        module.weight = Parameter([1.0])
        new = np.asarray([2.0])
        module.weight = new
        assert module.parameters()["weight"] is new

    def test_what_is_no_array_ends_the_mark(self):
        layer = Linear(2, 2)
        layer.bias = None
        assert list(layer.parameters()) == ["weight"]
        layer.bias = Parameter(np.zeros(2, F32))
        assert list(layer.parameters()) == ["weight", "bias"]

    def test_plain_arrays_are_constants(self):
        assert "constant" not in Branches().state_dict()

    def test_python_data_becomes_float32_of_the_selected_backend(self, xp):
        with nnx.use_backend(xp.spec):
            assert_close(Parameter([1.0, 2.0]).value, xp.asarray([1.0, 2.0]))
            assert_close(Buffer([1.0]).value, xp.asarray([1.0]))
        assert Buffer(3).value == 3

    def test_integers_are_no_parameters(self):
        with pytest.raises(DTypeError, match="expected a parameter of a floating-point dtype, got int64; a plain attr"):
            Parameter(np.asarray([1, 2]))

    def test_buffer_repr(self):
        assert repr(Buffer(3)) == "Buffer(3)"

    def test_a_buffer_holds_numbers(self, xp):
        with nnx.use_backend(xp.spec):
            buffer = Buffer([0.0])
        buffer.value = [0.5]
        assert_close(buffer.value, xp.asarray([0.5]))
        counter = Buffer(0)
        counter.value = 0.5  # as an integer it would be saved as 0
        assert tuple(counter.value.shape) == ()
        for wrong in (None, "text", Linear(1, 1), [ReLU()], {"a": 1.0}):
            with pytest.raises(DTypeError, match="expected a buffer of numbers, got"):
                Buffer(wrong)
            with pytest.raises(DTypeError, match="expected a buffer of numbers, got"):
                buffer.value = wrong

    def test_a_new_module_trains(self):
        assert Module().training
        assert Linear(1, 1).training

    def test_no_forward(self):
        class Empty(Module):
            pass

        with pytest.raises(UsageError, match=r"Empty defines no forward\(self, \.\.\.\)"):
            Empty()(np.ones(1))


class TestPaths:
    def test_of_parameters_and_buffers(self):
        module = Branches()
        expected = ["scale", *(f"{path}.{name}" for path in PATHS for name in ("weight", "bias"))]
        assert list(module.parameters()) == expected
        assert list(module.buffers()) == ["calls"]
        assert list(module.state_dict()) == [*expected, "calls"]
        assert [path for path, _ in module.named_modules()] == ["", *PATHS]

    def test_layers_of_a_model_have_numbers(self):
        assert list(mlp().parameters()) == ["0.weight", "0.bias", "2.weight", "2.bias"]

    def test_a_shared_module_comes_once(self):
        shared = Linear(2, 2)
        model = Model([shared, Model([shared, ReLU()])])
        assert list(model.parameters()) == ["0.weight", "0.bias"]
        assert len(list(model.named_modules())) == 4

    def test_modules_added_later_are_found(self):
        module = Branches()
        module.listed.append(Linear(2, 2))
        module.extra = Linear(2, 2)
        found = [path for path, _ in module.named_modules()]
        assert {"listed.2", "extra"} <= set(found)

    def test_gradients_reach_every_place(self):
        module = Branches()
        gradients = nnx.grad(lambda m, x: total(m(x) ** 2))(module, np.ones((1, 2), F32))
        assert gradients.keys() == module.parameters().keys()
        assert all(np.any(g != 0) for g in gradients.values())
        assert module.calls.value == 1

    def test_modules_in_a_named_tuple(self):
        class Pair(Module):
            def __init__(self):
                self.pair = namedtuple("Both", "left right")(Linear(2, 2, rng=0), Linear(2, 2, rng=1))

            def forward(self, x):
                return self.pair.left(x) + self.pair.right(x)

        gradients = nnx.grad(lambda m, x: total(m(x)))(Pair(), np.ones((1, 2), F32))
        assert len(gradients) == 4


class TestModes:
    def test_reach_all_modules_and_return_the_module(self):
        module = Branches()
        assert module.eval() is module
        assert not any(m.training for _, m in module.named_modules())
        assert module.train() is module
        assert all(m.training for _, m in module.named_modules())

    def test_eval_keeps_nothing(self):
        model = mlp().eval()
        model(np.ones((1, 3), F32))
        with pytest.raises(UsageError, match=r"Sequential\.backward needs a forward pass in training mode before it"):
            model.backward(np.ones((1, 2), F32))

    def test_modes_of_a_copy_under_a_trace_are_those_of_the_module(self):
        layer = nnx.Reparameterization(seed=0).eval()
        x = np.ones((2, 2))
        assert_close(nnx.vjp(lambda x: layer(x, x), x)[0], x)


class TestBackward:
    def test_the_loop_of_the_post(self, xp):
        with nnx.use_backend(xp.spec):
            model = mlp()
        loss = nnx.CrossEntropy()
        x = xp.asarray(np.random.default_rng(0).normal(size=(8, 3)))
        target = xp.asarray([0, 1] * 4, "int64")
        values = []
        for _ in range(30):
            values.append(float(loss(model(x), target)))
            model.backward(loss.gradient())
            model.update(learning_rate=0.5)
        assert values[-1] < 0.7 * values[0]

    def test_update_is_a_step_down_the_gradient(self, xp):
        with nnx.use_backend(xp.spec):
            model = mlp()
        x = xp.asarray([[1.0, 2.0, 3.0]])
        before = model.parameters()
        model.backward(model(x))
        model.update(0.25)
        for path, w in model.parameters().items():
            assert_close(w, before[path] - 0.25 * model.gradients()[path])

    def test_returns_none_for_an_input_that_is_not_floating(self):
        class Choose(Module):
            def __init__(self):
                self.table = Parameter(np.ones((4, 2)))

            def forward(self, index, x):
                return self.table[index, :] * x

        module = Choose()
        module(np.asarray([0, 0, 3]), np.ones((3, 2)))
        to_index, to_x = module.backward(np.ones((3, 2)))
        assert to_index is None
        assert_close(to_x, np.ones((3, 2)))
        assert_close(module.gradients()["table"][:, 0], np.asarray([2.0, 0.0, 0.0, 1.0]))

    def test_once_for_each_call(self):
        model = mlp()
        model(np.ones((1, 3), F32))
        g = np.ones((1, 2), F32)
        model.backward(g)
        with pytest.raises(UsageError, match=r"Sequential\.backward was called already for the last forward pass, .*"):
            model.backward(g)
        model(np.ones((1, 3), F32))
        model.backward(g)

    def test_frees_what_the_call_kept(self):
        class Doubled(Module):
            def forward(self, x):
                y = x * 2.0
                kept.append(weakref.ref(nnx.stop_gradient(y)))
                return y * y

        kept = []
        model = Doubled()
        output = model(np.ones(3))
        assert kept[0]() is not None
        model.backward(output)
        assert kept[0]() is None

    @pytest.mark.parametrize(("module", "default"), [(mlp, False), (lambda: Linear(3, 2, rng=0), True)])
    def test_the_gradient_of_the_input_is_a_choice(self, module, default):
        module, x, g = module(), np.ones((4, 3), F32), np.ones((4, 2), F32)
        found = {}
        for choice in (None, False, True):
            module(x)
            found[choice] = module.backward(g) if choice is None else module.backward(g, input_gradient=choice)
        assert found[False] is None
        assert (found[None] is not None) is default
        assert_close(found[True], nnx.vjp(module.eval(), x)[1](g)[0])

    def test_does_not_change_the_gradient_it_is_given(self):
        model = Model([ReLU()])
        model(np.asarray([[-1.0, 1.0]]))
        g = np.ones((1, 2))
        g.flags.writeable = False
        assert_close(model.backward(g, input_gradient=True), np.asarray([[0.0, 1.0]]))

    def test_before_a_forward_pass(self):
        with pytest.raises(UsageError, match=r"Linear\.backward needs a forward pass .* after model\.train\(\)"):
            Linear(2, 2).backward(np.ones(2))

    def test_update_after_a_parameter_came(self):
        model, x = Model([Linear(1, 1, rng=0)]), np.ones((1, 1), np.float32)
        model(x)
        model.backward(x)
        before = model[0].weight
        model.layers.append(Linear(1, 1, rng=0))
        with pytest.raises(ArgumentError, match=r"a gradient for each parameter; missing \['1.bias', '1.weight'\]"):
            model.update(0.1)
        assert model[0].weight is before

    def test_update_before_backward(self):
        for call in (lambda m: m.update(0.1), lambda m: m.gradients()):
            with pytest.raises(UsageError, match=r"Linear has no gradients yet; call backward\(gradient\) first"):
                call(Linear(2, 2))

    @pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
    def test_a_learning_rate_out_of_range(self, rate):
        with pytest.raises(ArgumentError, match=r"expected a finite learning_rate >= 0, got (-0\.1|nan|inf)"):
            Linear(2, 2).update(rate)

    def test_a_gradient_of_the_wrong_shape_or_dtype(self):
        model = mlp()
        model(np.ones((5, 3), F32))
        with pytest.raises(ShapeError, match=r"Sequential: expected a cotangent of shape \(5, 2\), .*, got \(2,\)"):
            model.backward(np.ones(2, F32))
        with pytest.raises(DTypeError, match=r"Sequential: expected a cotangent of dtype float32, .*, got float64"):
            model.backward(np.ones((5, 2)))

    def test_a_failed_call_leaves_nothing_to_go_back_through(self):
        model = mlp()
        model(np.ones((1, 3), F32))
        with pytest.raises(ShapeError):
            model(np.ones((1, 9), F32))
        with pytest.raises(UsageError):
            model.backward(np.ones((1, 2), F32))


class TestState:
    def test_loading_strictly_lists_everything_and_changes_nothing(self):
        model = mlp()
        weight = model.layers[0].weight
        state = {
            "0.weight": np.ones((3, 4), F32),
            "0.bias": np.zeros(5, F32),
            "2.weight": np.zeros((4, 2)),
            "extra": np.zeros(1),
        }
        with pytest.raises(CheckpointError) as caught:
            model.load_state_dict(state)
        message = str(caught.value)
        for part in (
            "the saved values do not fit Sequential: ",
            "2.bias: missing",
            "extra: not in the model",
            "0.bias: expected shape (4,), got (5,)",
            "2.weight: expected dtype float32, got float64",
        ):
            assert part in message
        assert model.layers[0].weight is weight

    def test_not_strict_takes_what_is_there(self):
        model = mlp()
        model.load_state_dict({"0.bias": np.ones(4, F32), "extra": 1}, strict=False)
        assert_close(model.layers[0].bias, np.ones(4, F32))
        with pytest.raises(CheckpointError, match=r"0\.bias: expected shape \(4,\), got \(1,\)"):
            model.load_state_dict({"0.bias": np.ones(1, F32)}, strict=False)

    def test_what_is_no_array(self):
        with pytest.raises(CheckpointError, match="weight: expected an array, got str"):
            Linear(1, 1, bias=False).load_state_dict({"weight": "text"})

    @pytest.mark.parametrize("state", [None, 3, [1], "text"])
    def test_what_is_no_state(self, state):
        with pytest.raises(CheckpointError, match="expected saved values by path, a dict, got a "):
            Linear(1, 1).load_state_dict(state)

    def test_of_many_problems_the_first_are_told(self):
        with pytest.raises(CheckpointError, match=r"; 17: not in the model; and 82 more$"):
            Linear(1, 1).load_state_dict({str(i): 1 for i in range(100)})
        with pytest.raises(CheckpointError, match=r"; x{100}: not in the model$"):
            Linear(1, 1).load_state_dict({"x" * 10**6: 1})

    def test_counters(self):
        layer = nnx.Reparameterization(seed=0)
        layer.load_state_dict({"seed": np.asarray(5), "calls": np.asarray(7)})
        assert layer.state_dict() == {"seed": 5, "calls": 7}
        with pytest.raises(CheckpointError, match=r"calls: expected a number, got shape \(2,\)"):
            layer.load_state_dict({"calls": np.ones(2)}, strict=False)

    def test_values_move_to_the_library_of_the_module(self, xp):
        with nnx.use_backend(xp.spec):
            model = mlp()
        state = mlp(rng=1).state_dict()
        model.load_state_dict(state)
        for path, w in model.parameters().items():
            assert_close(w, xp.asarray(state[path]))

    def test_array_buffers_are_saved(self):
        class Mean(Module):
            def __init__(self):
                self.mean = Buffer(np.zeros(2))

        one, two = Mean(), Mean()
        one.mean.value = np.ones(2)
        two.load_state_dict(one.state_dict())
        assert_close(two.mean.value, np.ones(2))

    def test_deepcopy_is_independent(self):
        model = mlp()
        model(np.ones((1, 3), F32))
        twin = copy.deepcopy(model)
        twin.layers[0].weight = 0.0 * twin.layers[0].weight
        assert np.any(model.layers[0].weight != 0)


class TestTo:
    def test_dtype(self, xp):
        with nnx.use_backend(xp.spec):
            model = Model([Linear(2, 2, rng=0), nnx.Reparameterization(seed=0)])
        assert model.to(dtype="float64") is model
        assert {nnx.backend.dtype_name(w.dtype) for w in model.parameters().values()} == {"float64"}
        assert model.buffers()["1.calls"].value == 0
        model.to(dtype=xp.namespace.float32)
        assert {nnx.backend.dtype_name(w.dtype) for w in model.parameters().values()} == {"float32"}

    def test_library_and_back(self, xp):
        model = Branches()
        before = model.state_dict()
        model.to(xp.spec)
        for path, value in model.state_dict().items():
            assert_close(value, before[path] if isinstance(value, int) else xp.asarray(before[path]))
        assert_close(model.to("numpy").state_dict(), before)

    def test_drops_gradients_of_the_other_place(self):
        model = mlp()
        model.backward(model(np.ones((1, 3), F32)))
        model.to(dtype="float64")
        with pytest.raises(UsageError):
            model.gradients()
        with pytest.raises(UsageError):
            model.backward(np.ones((1, 2)))

    def test_unknown_places(self):
        with pytest.raises(BackendError, match="unknown backend 'nowhere'; known are numpy, cupy"):
            mlp().to("nowhere")
        with pytest.raises(DeviceError, match="backend 'numpy' has no device 'cuda:0'; it has cpu"):
            mlp().to("numpy:cuda:0")


class TestErrorsSayWhere:
    def test_the_dotted_path(self):
        model = Model([Linear(3, 4), Model([ReLU(), Linear(9, 2)])])
        with pytest.raises(ShapeError) as caught:
            model(np.ones((1, 3), F32))
        assert str(caught.value) == "Linear '1.1': expected input of shape (..., 9), got (1, 4)"
        assert (caught.value.layer, caught.value.module_path) == ("Linear", ("1", "1"))

    def test_in_every_way_of_calling(self):
        model = Model([ReLU(), Linear(9, 2)])
        x = np.ones((1, 4), F32)
        for call in (
            lambda: model(x),
            lambda: model.eval()(x),
            lambda: nnx.vjp(lambda m: m(x), model),
            lambda: nnx.vjp(lambda x: model(x), x),
            lambda: nnx.layer_outputs(model, x),
        ):
            with pytest.raises(ShapeError, match=r"^Linear '1': expected input of shape \(\.\.\., 9\)"):
                call()

    def test_in_containers(self):
        module = Branches()
        module.named["deep"]["er"][0] = Linear(5, 5)
        with pytest.raises(ShapeError, match=r"^Linear 'named\.deep\.er\.0': "):
            module(np.ones((1, 2), F32))

    def test_a_layer_alone_has_no_path(self):
        with pytest.raises(ShapeError, match=r"^Linear: expected input"):
            Linear(3, 2)(np.ones((1, 4), F32))

    def test_foreign_exceptions_keep_their_text_and_get_a_note(self):
        class Broken(Module):
            def forward(self, x):
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine") as caught:
            Model([ReLU(), Model([Broken()])])(np.ones(2))
        assert caught.value.__notes__ == ["in the module Broken '1.0'"]
        with pytest.raises(KeyError) as caught:
            Broken()(np.ones(2))
        assert caught.value.__notes__ == ["in the module Broken"]

    def test_arrays_on_two_devices(self):
        strict = pytest.importorskip("array_api_strict")
        with nnx.use_backend("array-api-strict:device1"):
            model = Model([Linear(2, 2)])
        x = strict.ones((1, 2), dtype=strict.float32, device=strict.Device("device2"))
        with pytest.raises(
            DeviceError, match=r"expected all arrays on one device, got argument 0 on .*device2.*'weight'"
        ):
            model(x)

    def test_arrays_of_two_libraries(self):
        strict = pytest.importorskip("array_api_strict")
        with pytest.raises(BackendError, match=r"Linear '0': expected arrays of one library, got .* move one of them"):
            Model([Linear(2, 2)])(strict.ones((1, 2), dtype=strict.float32))

    def test_what_a_function_of_the_user_raises_is_no_error_of_nnx(self):
        assert not issubclass(KeyError, NnxError)


class TestLooks:
    def test_repr_of_nested_modules(self):
        class Outer(Module):
            def __init__(self):
                self.inner = Linear(1, 2)
                self.blocks = [ReLU()]

            def describe(self):
                return "size=1"

        assert repr(Outer()) == (
            "Outer(size=1\n  (inner): Linear(in_features=1, out_features=2)\n  (blocks.0): ReLU()\n)"
        )

    def test_summary(self):
        table = mlp().summary((5, 3))
        assert table.splitlines() == [
            "layer     output shape  parameters  FLOPs",
            "-----------------------------------------",
            "0 Linear  (5, 4)                16    120",
            "1 ReLU    (5, 4)                 0      0",
            "2 Linear  (5, 2)                10     80",
            "-----------------------------------------",
            "total: 26 parameters, 200 FLOPs",
        ]

    def test_summary_of_arrays_and_of_nothing(self):
        model = mlp()
        assert "(1, 4)" in model.summary(np.ones((1, 3), F32))
        assert "-" in model.summary().splitlines()[2]
        assert model.training

    def test_summary_leaves_counters_alone(self):
        layer = nnx.Reparameterization(seed=0)
        layer.summary(np.ones((1, 2)), np.ones((1, 2)))
        assert layer.calls.value == 0

    def test_layer_outputs(self, xp):
        with nnx.use_backend(xp.spec):
            model = mlp()
        x = xp.asarray([[1.0, 2.0, 3.0]])
        found = nnx.layer_outputs(model, x)
        assert [output.path for output in found] == ["0", "1", "2", ""]
        assert found[1].module is model.layers[1]
        assert_close(found[-1].output, model(x))


class TestSequential:
    def test_is_a_list_of_layers(self):
        model = mlp()
        assert len(model) == 3
        assert list(model) == model.layers
        assert model[1] is model.layers[1]
        assert nnx.Model is nnx.Sequential

    def test_takes_any_iterable(self):
        assert len(Model(ReLU() for _ in range(2))) == 2
        assert_close(Model([])(np.ones(2)), np.ones(2))

    def test_only_modules(self):
        with pytest.raises(ArgumentError, match=r"expected layer 1 to be a Module, got <built-in .*>; write a class"):
            Model([ReLU(), abs])


class TestInputs:
    @pytest.mark.parametrize(
        "layer", [Linear(3, 2, rng=0), ReLU(), nnx.Softmax()], ids=lambda layer: type(layer).__name__
    )
    @pytest.mark.parametrize("mode", [True, False])
    def test_what_is_no_array(self, layer, mode):
        for wrong, name in ((3.0, "float"), (None, "None"), ([1.0, 2.0, 3.0], "list"), ("text", "str")):
            what = rf"(, got {name}; make it one| of a library .*{name}; convert it first), for example with numpy"
            with pytest.raises(NnxError, match=rf"^{type(layer).__name__} '0': expected an array{what}"):
                Model([layer]).train(mode)(wrong)

    @pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
    @pytest.mark.parametrize("kind", [np.ma.masked_array, np.matrix], ids=["MaskedArray", "matrix"])
    def test_arrays_of_numpy_that_are_no_plain_ones(self, kind):
        x = kind(np.ones((2, 3), F32))
        for model in (mlp(), mlp().eval(), ReLU()):
            with pytest.raises(BackendError, match=r"expected a plain array, got numpy\.(MaskedArray|matrix): "):
                model(x)

    def test_layers_that_are_no_list(self):
        for layers in ((ReLU(), ReLU()), (ReLU(),)):
            with pytest.raises(
                ArgumentError, match=r"expected one list of layers, got . arguments; write Model\(\[first"
            ):
                Model(*layers)


class TestWhatAUserMightDo:
    """Things that once gave a wrong result in silence."""

    def test_a_subclass_of_sequential_with_a_module_beside_its_layers(self):
        class Net(nnx.Sequential):
            def __init__(self):
                super().__init__([nnx.Linear(2, 3, rng=0)])
                self.head = nnx.Linear(3, 1, rng=0)

            def forward(self, x):
                return self.head(super().forward(x))

        net = Net()
        assert list(net.parameters()) == ["0.weight", "0.bias", "head.weight", "head.bias"]
        net(np.ones((1, 2), np.float32))
        net.backward(np.ones((1, 1), np.float32))
        assert net.gradients().keys() == net.parameters().keys()
        assert [path for path, _, _ in nnx.layer_outputs(net, np.ones((1, 2), np.float32))] == ["0", "head", ""]

    def test_the_layers_of_a_subclass_of_sequential_come_first(self):
        class Net(nnx.Sequential):
            def __init__(self):
                self.head = nnx.Linear(3, 1, rng=0)
                super().__init__([nnx.Linear(2, 3, rng=0)])

        assert list(Net().parameters()) == ["0.weight", "0.bias", "head.weight", "head.bias"]

    def test_a_module_that_named_children_hides_is_copied_and_not_trained(self):
        class Hiding(nnx.Module):
            def __init__(self):
                self.shown = nnx.Linear(1, 1, bias=False, rng=0)
                self.hidden = nnx.Sequential([nnx.Linear(1, 1, bias=False, rng=1)])

            def named_children(self):
                yield "shown", self.shown

            def forward(self, x):
                return self.hidden(self.shown(x))

        model, x = Hiding(), np.ones((1, 1), np.float32)
        gradients = nnx.grad(lambda model: nnx.namespace(x, model.shown.weight).sum(model(x)))(model)
        assert list(gradients) == ["shown.weight"]
        assert_close(gradients["shown.weight"], model.hidden[0].weight)
        model(x)
        model.backward(x)
        assert_close(model.gradients()["shown.weight"], model.hidden[0].weight)

    def test_a_buffer_written_under_a_transform_holds_a_plain_array(self):
        class Running(nnx.Module):
            def __init__(self):
                self.mean = nnx.Buffer(np.zeros(2))

            def forward(self, x):
                self.mean.value = 0.5 * self.mean.value + 0.5 * nnx.namespace(x).mean(x, axis=0)
                return x * 2.0

        layer = Running()
        layer(np.ones((3, 2)))
        assert type(layer.mean.value) is np.ndarray
        assert_close(layer.state_dict()["mean"], np.full(2, 0.5))

    def test_looking_at_outputs_changes_no_buffer(self):
        layer = nnx.Reparameterization(seed=0)
        nnx.layer_outputs(layer, np.zeros((1, 2)), np.ones((1, 2)))
        assert layer.calls.value == 0

    def test_inputs_by_name_and_in_containers_have_gradients(self):
        class Sum(nnx.Module):
            def forward(self, xs, scale=None):
                return (xs[0] + 3.0 * xs[1]) * scale

        layer, one = Sum(), np.asarray([1.0])
        layer([one, one], scale=np.asarray([5.0]))
        (first, second), named = layer.backward(one)
        assert (first, second, named["scale"]) == (5.0, 15.0, 4.0)
        linear = nnx.Linear(2, 1, rng=0)
        linear(input=np.ones((1, 2), np.float32))
        assert linear.backward(np.ones((1, 1), np.float32)).shape == (1, 2)

    def test_a_traced_array_by_name_is_not_kept(self):
        layer = nnx.ReLU()
        nnx.grad(lambda x: nnx.namespace(x).sum(layer(x=x)))(np.ones(2))
        assert layer._kept is None

    def test_a_number_does_not_take_the_place_of_a_parameter(self):
        layer = nnx.Linear(1, 1, rng=0)
        with pytest.raises(
            DTypeError, match="expected an array in place of the parameter 'weight', got float; make it one"
        ):
            layer.weight = 3.0
        del layer.weight
        assert list(layer.parameters()) == ["bias"]

    def test_parameters_in_a_list_are_refused(self):
        module = nnx.Module()
        with pytest.raises(ArgumentError, match="expected a Parameter as an attribute of its own, got one inside 'ws'"):
            module.ws = [nnx.Parameter(np.ones(1))]

    def test_two_parameters_of_one_path(self):
        module = nnx.Module()
        module.d = {"a.b": nnx.Linear(1, 1, rng=0), "a": {"b": nnx.Linear(1, 1, rng=0)}}
        with pytest.raises(ArgumentError, match="Module has two parameters of one path; rename a key or an attribute"):
            nnx.vjp(lambda m: m.parameters(), module)

    def test_a_foreign_array_in_a_handwritten_layer(self):
        torch = pytest.importorskip("torch", reason="torch is not installed")

        class Product(nnx.Module):
            def __init__(self):
                self.w = nnx.Parameter(torch.ones(2, 2))

            def forward(self, x):
                return x @ self.w

        expected = "expected arrays of one library, got .*numpy.*torch"
        with pytest.raises(BackendError, match=expected):
            Product()(np.ones((2, 2), np.float32))

    def test_only_floating_point_dtypes(self):
        with pytest.raises(DTypeError, match="expected a floating-point dtype of numpy, got 'int32'"):
            nnx.Linear(1, 1, rng=0).to(dtype="int32")
        with pytest.raises(DTypeError, match="expected a floating-point dtype of numpy, got 'floaty'"):
            nnx.Linear(1, 1, rng=0).to(dtype="floaty")


@pytest.mark.parametrize("value", [[[1.0, 2.0]], None, 1.0])
@pytest.mark.parametrize(
    "layer", [nnx.LayerNorm(2), nnx.Conv1d(1, 1, 2), nnx.MaxPool2d(2), nnx.BatchNorm1d(2)], ids=repr
)
def test_an_argument_that_is_no_array(layer, value):
    kind = "None" if value is None else type(value).__name__
    with pytest.raises(DTypeError, match=rf"^{type(layer).__name__} '0': expected an array, got {kind}; make it one"):
        nnx.Model([layer])(value)
