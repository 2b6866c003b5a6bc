"""What to write instead of array methods that other libraries have and the standard does not."""

_METHODS = frozenset(
    {"all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "max", "mean", "min", "prod", "repeat"}
    | {"reshape", "round", "sort", "squeeze", "std", "sum", "take", "var"}
)
"""Methods of other array libraries that are functions of the standard with the same name."""

_ELSEWHERE = {
    "copy": "write xp.asarray(x, copy=True)",
    "cumsum": "write xp.cumulative_sum(x)",
    "cumprod": "write xp.cumulative_prod(x)",
    "detach": "write nnx.stop_gradient(x)",
    "dot": "write x @ y",
    "flatten": "write xp.reshape(x, (-1,))",
    "item": "write nnx.stop_gradient(x) for the value alone",
    "numpy": "write nnx.to_numpy(nnx.stop_gradient(x)) for the value alone",
    "permute": "write xp.permute_dims(x, axes)",
    "ravel": "write xp.reshape(x, (-1,))",
    "swapaxes": "write xp.moveaxis or xp.permute_dims",
    "tolist": "write nnx.stop_gradient(x) for the value alone",
    "transpose": "write xp.permute_dims(x, axes), or x.mT",
    "unsqueeze": "write xp.expand_dims(x, axis=0)",
    "view": "write xp.reshape(x, shape)",
}
"""What to write for methods that the standard has under another name, or not at all."""


def replacement(name: str) -> str:
    """Return what to write instead of a method of this name."""
    return f"write xp.{name}(x, ...)" if name in _METHODS else _ELSEWHERE.get(name, "functions are in xp")
