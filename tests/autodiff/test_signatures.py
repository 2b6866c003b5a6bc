"""What the standard does not name is refused where an argument is traced, and rules are held to its signatures."""

import inspect
from functools import reduce

import numpy as np
import pytest

import nnx
from nnx.autodiff import rules
from nnx.autodiff.namespace import traced_namespace
from nnx.autodiff.rules.kinds import Linear
from nnx.autodiff.rules.signatures import SIGNATURES, Signature, check_composition, check_rule
from nnx.errors import ArgumentError

X = np.asarray([[1.0, 2.0], [3.0, 4.0]])


def test_the_table_is_the_standard():
    strict = pytest.importorskip("array_api_strict")
    if strict.__array_api_version__ != "2025.12":
        pytest.skip("knows another version of the standard")
    for name, signature in SIGNATURES.items():
        parameters = inspect.signature(reduce(getattr, name.split("."), strict)).parameters.values()
        of_kind = lambda *kinds, parameters=parameters: [p for p in parameters if p.kind in kinds]  # noqa: E731
        kind = inspect.Parameter
        positional = of_kind(kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD, kind.VAR_POSITIONAL)
        assert [p.lstrip("*") for p in signature.positional] == [p.name for p in positional], name
        options = {p.name: p.default for p in of_kind(kind.KEYWORD_ONLY)}
        if name == "astype":  # "as is" has no value in the standard
            options["device"] = None
        assert signature.options == options, name
        either = [p.name for p in of_kind(kind.POSITIONAL_OR_KEYWORD)]
        for option in either:
            signature.refuse(name, (), {option: None})
        for parameter in of_kind(kind.POSITIONAL_ONLY):
            with pytest.raises(ArgumentError, match=f"got {parameter.name}, of which"):
                signature.refuse(name, (), {parameter.name: None})


def test_every_function_of_the_tables_has_a_signature():
    named = {*rules.RULES, *rules.COMPOSED, *rules.CONSTANT, *rules.LIKE, *rules.REFUSED}
    assert named == SIGNATURES.keys()


def test_how_a_signature_reads():
    shown = {
        "abs": "Signature(x, /)",
        "clip": "Signature(x, /, min, max)",
        "meshgrid": "Signature(*arrays, indexing='xy')",
        "reshape": "Signature(x, /, shape, *, copy=None)",
        "take": "Signature(x, indices, /, *, axis=None)",
    }
    assert {name: repr(SIGNATURES[name]) for name in shown} == shown


@pytest.mark.parametrize("name", sorted(SIGNATURES.keys() - rules.REFUSED.keys()))
def test_every_function_refuses_an_option_of_the_library(xp, name):
    signature = SIGNATURES[name]

    def call(x, *more, **options):
        found = nnx.namespace(x)
        for part in name.split("."):
            if not hasattr(getattr(found, "untraced", found), part):
                pytest.skip("the library has no such function")
            found = getattr(found, part)
        first = [x] if name in ("concat", "stack") else x
        return found(first, *[x] * (len(signature.positional) - 1), *more, **options)

    x = xp.asarray(X, "float64")
    if name in ("asarray", "broadcast_shapes", "can_cast", "finfo", "iinfo", "result_type"):
        pytest.skip("never handed on to a library with a derivative")
    message = rf"{name}( of a traced array)?: expected the arguments of the standard, .*, got colour, of which"
    with pytest.raises(ArgumentError, match=message):
        nnx.vjp(lambda x: call(x, colour=1), x)
    with pytest.raises(ArgumentError, match=message):
        nnx.jvp(lambda x: call(x, colour=1), (x,), (x,))
    if name in ("astype", "clip", "concat", "stack"):
        with pytest.raises(TypeError, match="positional argument"):
            nnx.vjp(lambda x: call(x, x), x)
    elif not signature.positional[0].startswith("*"):
        with pytest.raises(ArgumentError, match=f"{name}: expected at most .* arguments by position, as in the stand"):
            nnx.vjp(lambda x: call(x, x), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ns, x: ns.log(x, where=X > 1, out=X.copy()), r"got where, out, .*; use xp\.where\(condition"),
        (lambda ns, x: ns.divide(x, x, where=X > 1), "got where"),
        (lambda ns, x: ns.sum(x, where=X > 1), r"sum\(x, /, \*, axis=None, dtype=None, keepdims=False\), got where"),
        (lambda ns, x: ns.max(x, initial=5.0), "got initial"),
        (lambda ns, x: ns.mean(x, where=X > 1), "got where"),
        (lambda ns, x: ns.prod(x, initial=2.0), "got initial"),
        (lambda ns, x: ns.sum(x, dtype=np.int64, initial=2), "got initial"),
        (lambda ns, x: ns.var(x, mean=0.0, ddof=1), "got mean, ddof, .*; use correction"),
        (lambda ns, x: ns.reshape(x, (4,), order="F"), "got order"),
        (lambda ns, x: ns.take(x, np.asarray([5]), mode="clip", axis=0), "got mode"),
        (lambda ns, x: ns.matmul(x, x, axes=[(0, 1), (0, 1), (0, 1)]), "got axes"),
        (lambda ns, x: ns.add(x, x, X.copy()), "expected at most 2 arguments by position"),
        (lambda ns, x: ns.sort(x, kind="heap"), "got kind"),
        (lambda ns, x: ns.clip(x, 0.0, 1.0, out=X.copy()), "got out"),
        (lambda ns, x: ns.concat([x, x], dtype=np.float32), "got dtype"),
        (lambda ns, x: ns.floor(x, where=X > 1), "got where"),
        (lambda ns, x: ns.zeros_like(x, order="F"), "got order"),
        (lambda ns, x: ns.linalg.svd(x, compute_uv=False), r"got compute_uv, .*; use linalg\.svdvals\(x\)"),
        (lambda ns, x: ns.linalg.eigh(x, UPLO="U"), "got UPLO"),
    ],
)
def test_options_of_numpy(call, message):
    with pytest.raises(ArgumentError, match=message):
        nnx.vjp(lambda x: call(nnx.namespace(x), x), X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ns, x: ns.add(x, x, alpha=2), "got alpha"),
        (lambda ns, x: ns.divide(x, x, rounding_mode="floor"), "got rounding_mode"),
        (lambda ns, x: ns.sum(x, dim=0, keepdim=True), "got dim, keepdim, .*; use axis; use keepdims"),
        (lambda ns, x: ns.flip(x, dims=(0,)), "got dims"),
    ],
)
def test_options_of_torch(call, message):
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match=message):
        nnx.vjp(lambda x: call(nnx.namespace(x), x), torch.asarray(X))


def test_plain_arrays_are_the_librarys_own_affair():
    ns = traced_namespace(X)
    assert ns.sum(X, where=X > 1) == 9.0
    assert ns.exp(0 * X, out=X.copy()).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert ns.sum(np.asarray([1, 2]), initial=3) == 6


class TestRulesAreHeldToTheStandard:
    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            (
                Linear("x", lambda xp, g, spec, axes=None: g),
                r"the rule of sum asks for 'axes', which is no parameter of sum\(x, /, \*, axis=None, ",
            ),
            (
                Linear("x", lambda xp, g, axis=-1: g),
                r"the rule of sum has the default axis=-1, where the standard has sum\(x, /, \*, axis=None, ",
            ),
            (
                Linear("a", lambda g: g),
                "the rule of sum has the positional parameters a, where the standard has sum",
            ),
            (Linear("x, axes", lambda g, x: g), "has the positional parameters x, axes, where the standard"),
        ],
        ids=["misspelt", "default", "name", "one more"],
    )
    def test_a_wrong_rule(self, rule, message):
        with pytest.raises(ArgumentError, match=message):
            check_rule("sum", rule.parameters, rule.reads)

    def test_a_wrong_composition(self):
        with pytest.raises(ArgumentError, match="the rule of unstack has the default axis=-1, where the standard has"):
            check_composition("unstack", lambda xp, x, /, *, axis=-1: x)

    def test_each_rule_says_what_it_reads(self):
        # An empty list would pass any check.
        assert dict(rules.RULES["mean"].reads) == {"axis": None, "keepdims": False}
        assert dict(rules.RULES["var"].reads) == {"x": None, "axis": None, "correction": 0.0}
        assert dict(rules.RULES["take"].reads) == {"axis": None}
        assert dict(rules.RULES["multiply"].reads) == {"x1": None, "x2": None}
        assert dict(rules.RULES["concat"].reads) == {"axis": 0}


def test_no_look_at_a_call_without_options(monkeypatch):
    monkeypatch.setattr(Signature, "refuse", lambda *args: pytest.fail("looked at the names of no options"))
    nnx.grad(lambda x: nnx.namespace(x).sum(nnx.namespace(x).tanh(x @ x)))(X)
