"""Element types of results: every pair of types, as tensors with dimensions, 0-d tensors and Python numbers, through the
binary operators and the reductions; the type, the values and the refusals are PyTorch's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import minidl
from minidl.tensor import Tensor, wrap

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("uint8", "int8", "int16", "int32", "int64")
DTYPES = (*FLOATS, *INTS, "bool")
NUMBERS = (True, 2, -3, 0.5)
TOLERANCE = {"float16": 4e-3, "bfloat16": 2e-2, "float32": 1e-5, "float64": 1e-12}


def our_type(name: str) -> Any:
    return minidl.dtypes.from_numpy_dtype(np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name))


def pair(values: Any, dtype: str) -> tuple[Tensor, torch.Tensor]:
    """The same values as a tensor of each library."""
    array = np.asarray(values, dtype="float64")
    numpy_dtype = our_type(dtype).numpy
    return wrap(np.array(array.astype(numpy_dtype))), torch.tensor(array.tolist(), dtype=getattr(torch, dtype))


def first(dtype: str) -> list[float]:
    return [3, 2, 5] if dtype == "uint8" else [1, 0, 1] if dtype == "bool" else [-3, 2, 5]


def second(dtype: str) -> list[float]:
    return [1, 1, 1] if dtype == "bool" else [2, 1, 3]


def outcome(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """What a call returns, or the exception that it raises."""
    try:
        return function(*args, **kwargs)
    except (
        TypeError,
        ValueError,
        IndexError,
        ZeroDivisionError,
        OverflowError,
        AttributeError,
        RuntimeError,
    ) as refusal:
        return refusal


def difference(ours: Any, theirs: Any) -> str:
    """What distinguishes two outcomes; nothing, if they agree."""
    if isinstance(theirs, Exception):
        wanted: Any = RuntimeError if isinstance(theirs, RuntimeError) else type(theirs)
        if wanted is AttributeError:  # of a number that was taken for a tensor: TypeError says it better
            wanted = (AttributeError, TypeError)
        if isinstance(ours, wanted):
            return ""
        return f"{ours!r} for {type(theirs).__name__}: {str(theirs).splitlines()[0]}"
    if isinstance(ours, Exception):
        return f"{ours!r}, PyTorch gives {theirs!r}"
    if isinstance(theirs, (tuple, list)):
        return "; ".join(filter(None, map(difference, ours, theirs)))
    if not isinstance(theirs, torch.Tensor):
        return "" if ours == theirs and type(ours) is type(theirs) else f"{ours!r}, not {theirs!r}"
    name = str(theirs.dtype).removeprefix("torch.")
    if ours.dtype.name != name:
        return f"of type {ours.dtype}, not {name}"
    if ours.shape != tuple(theirs.shape):
        return f"of shape {ours.shape}, not {tuple(theirs.shape)}"
    mine, other = ours._data.astype("float64"), theirs.double().numpy()
    tolerance = TOLERANCE.get(name, 0)
    if not np.allclose(mine, other, rtol=tolerance, atol=tolerance, equal_nan=True):
        return f"{mine.tolist()}, not {other.tolist()}"
    return ""


def operands(a: str, b: str) -> dict[str, tuple[tuple, tuple]]:
    """The ways two types meet: ours and PyTorch's arguments by a name."""
    (a3, ta3), (b3, tb3) = pair(first(a), a), pair(second(b), b)
    (a0, ta0), (b0, tb0) = pair(first(a)[0], a), pair(second(b)[0], b)
    return {
        "dimensioned, dimensioned": ((a3, b3), (ta3, tb3)),
        "dimensioned, 0-d": ((a3, b0), (ta3, tb0)),
        "0-d, dimensioned": ((a0, b3), (ta0, tb3)),
        "0-d, 0-d": ((a0, b0), (ta0, tb0)),
    }


def numbers(a: str) -> dict[str, tuple[tuple, tuple]]:
    (a3, ta3), (a0, ta0) = pair(first(a), a), pair(first(a)[0], a)
    forms = {}
    for number in NUMBERS:
        forms[f"dimensioned, {number}"] = (a3, number), (ta3, number)
        forms[f"0-d, {number}"] = (a0, number), (ta0, number)
        forms[f"{number}, dimensioned"] = (number, a3), (number, ta3)
    return forms


BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "floor_divide",
    "remainder",
    "fmod",
    "pow",
    "float_power",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "atan2",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "xlogy",
    "copysign",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "heaviside",
    "rsub",
    "true_divide",
    "isclose",
    "clamp_min",
    "clamp_max",
]
OPERATORS = [
    "__add__",
    "__sub__",
    "__mul__",
    "__truediv__",
    "__floordiv__",
    "__mod__",
    "__pow__",
    "__and__",
    "__or__",
    "__xor__",
    "__lshift__",
]
OPERATORS += [
    "__rshift__",
    "__eq__",
    "__lt__",
    "__radd__",
    "__rsub__",
    "__rmul__",
    "__rtruediv__",
    "__rfloordiv__",
    "__rmod__",
    "__rpow__",
]
OPERATORS += [
    "__rand__",
    "__ror__",
    "__rxor__",
    "__iadd__",
    "__isub__",
    "__imul__",
    "__itruediv__",
    "__ifloordiv__",
    "__imod__",
    "__ipow__",
]
OPERATORS += ["__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__", "__rlshift__", "__rrshift__"]
MODES = {"div_floor": "floor", "div_trunc": "trunc"}


def library(name: str) -> tuple[Callable, Callable]:
    if name in MODES:
        return tuple(lambda a, b, div=m.div: div(a, b, rounding_mode=MODES[name]) for m in (minidl, torch))
    if name.startswith("alpha_"):
        kind = name.removeprefix("alpha_")
        return tuple(lambda a, b, m=m: getattr(m, kind)(a, b, alpha=2) for m in (minidl, torch))
    return getattr(minidl, name), getattr(torch, name)


def disagreements(name: str, ours: Callable, theirs: Callable, cases: dict, dtypes: tuple) -> list[str]:
    found = []
    for how, (args, theirs_args) in cases.items():
        wanted = outcome(theirs, *theirs_args)
        if said := difference(outcome(ours, *args), wanted):
            found.append(f"{name}({' and '.join(dtypes)}; {how}): {said}")
    return found


def report(found: list[str]) -> None:
    assert not found, f"{len(found)} calls differ from PyTorch:\n" + "\n".join(found[:40])


@pytest.mark.parametrize("name", [*BINARY, *MODES, "alpha_add", "alpha_sub"])
def test_binary_operators(name):
    ours, theirs = library(name)
    found: list[str] = []
    for a, b in itertools.product(DTYPES, DTYPES):
        found += disagreements(name, ours, theirs, operands(a, b), (a, b))
    for a in DTYPES:
        found += disagreements(name, ours, theirs, numbers(a), (a,))
    report(found)


@pytest.mark.parametrize("name", OPERATORS)
def test_python_operators(name):
    """What Python itself does with NotImplemented is part of it: both sides go through the operator."""
    found: list[str] = []
    for a in DTYPES:
        forms = [{k: v for k, v in numbers(a).items() if isinstance(v[0][0], Tensor)}]
        forms += [operands(a, b) for b in DTYPES] if not name.startswith("__r") or name == "__rshift__" else []
        for cases in forms:
            for how, (args, theirs_args) in cases.items():
                wanted = outcome(lambda x, y: getattr(x, name)(y), *theirs_args)
                mine = outcome(lambda x, y: getattr(x, name)(y), *args)
                if mine is not NotImplemented or wanted is not NotImplemented:
                    refused = TypeError() if mine is NotImplemented else mine
                    expected = TypeError() if wanted is NotImplemented else wanted
                    if said := difference(refused, expected):
                        found.append(f"{a} {name} ({how}; {[x.dtype for x in args if isinstance(x, Tensor)]}): {said}")
    report(found)


IN_PLACE = [
    "add_",
    "sub_",
    "mul_",
    "div_",
    "floor_divide_",
    "remainder_",
    "fmod_",
    "pow_",
    "atan2_",
    "hypot_",
    "xlogy_",
    "copysign_",
    "eq_",
    "lt_",
    "logical_and_",
    "bitwise_and_",
    "bitwise_or_",
    "bitwise_xor_",
    "bitwise_left_shift_",
    "bitwise_right_shift_",
    "float_power_",
    "heaviside_",
    "clamp_min_",
    "clamp_max_",
    "copy_",
    "fill_",
]


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_operators(name):
    ours, theirs = (lambda x, *rest, kind=kind: getattr(kind, name)(x, *rest) for kind in (Tensor, torch.Tensor))
    found: list[str] = []
    for a in DTYPES:
        tensor_first = {k: v for k, v in numbers(a).items() if isinstance(v[0][0], Tensor)}
        for b in DTYPES:
            found += disagreements(name, ours, theirs, operands(a, b), (a, b))
        for how in tensor_first:  # fresh operands each time: they are overwritten
            found += disagreements(name, ours, theirs, {how: numbers(a)[how]}, (a,))
    report(found)


TERNARY = {
    "where": lambda m, a, b: m.where(m.tensor([True, False, True]), a, b),
    "clamp": lambda m, a, b: m.clamp(a, b, b),
    "clamp_number": lambda m, a, b: m.clamp(a, 1, b) if not isinstance(b, (m.Tensor)) else m.clamp(a, 1, 2),
    "lerp": lambda m, a, b: m.lerp(a, b, 0.5),
    "lerp_weight": lambda m, a, b: m.lerp(a, a, b),
    "addcmul": lambda m, a, b: m.addcmul(a, b, b, value=2),
    "addcdiv": lambda m, a, b: m.addcdiv(a, b, b, value=2),
    "addcmul_mixed": lambda m, a, b: m.addcmul(a, a, b, value=0.5),
    "masked_fill": lambda m, a, b: m.masked_fill(a, m.tensor([True, False, True]), b),
    "stack": lambda m, a, b: m.stack([a, b]),
    "cat": lambda m, a, b: m.cat([m.atleast_1d(a), m.atleast_1d(b)]),
    "result_type": lambda m, a, b: str(m.result_type(a, b)).split(".")[1],
    "dot": lambda m, a, b: m.dot(a, b),
    "matmul": lambda m, a, b: a @ b,
    "outer": lambda m, a, b: m.outer(a, b),
    "setitem": lambda m, a, b: (a.clone(), a.__setitem__(0, b), a)[2],
    "isclose": lambda m, a, b: m.isclose(a, b),
    "allclose": lambda m, a, b: m.allclose(a, b),
    "equal": lambda m, a, b: m.equal(a, b),
    "type_as": lambda m, a, b: a.type_as(b),
    "to_other": lambda m, a, b: a.to(b),
    "mse_loss": lambda m, a, b: m.nn.functional.mse_loss(a, b),
    "l1_loss": lambda m, a, b: m.nn.functional.l1_loss(a, b),
    "max": lambda m, a, b: m.max(a, b),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", TERNARY)
def test_functions_of_two_types(name):
    call = TERNARY[name]
    ours, theirs = (lambda a, b, m=m: call(m, a, b) for m in (minidl, torch))
    found: list[str] = []
    for a in DTYPES:
        for b in DTYPES:
            found += disagreements(name, ours, theirs, operands(a, b), (a, b))
        if name != "to_other":
            found += disagreements(name, ours, theirs, numbers(a), (a,))
    report(found)


REDUCTIONS = {
    name: lambda m, x, name=name, **dtype: getattr(m, name)(x, 0, **dtype)
    for name in [
        "sum",
        "prod",
        "mean",
        "nansum",
        "nanmean",
        "cumsum",
        "cumprod",
        "any",
        "all",
        "argmax",
        "argmin",
        "amax",
        "amin",
        "logsumexp",
        "count_nonzero",
        "median",
        "nanmedian",
        "max",
        "min",
        "cummax",
        "cummin",
        "std",
        "var",
        "sort",
        "argsort",
        "logcumsumexp",
        "mode",
        "softmax",
        "log_softmax",
        "diff",
        "flip",
        "aminmax",
        "std_mean",
        "var_mean",
        "norm",
        "msort",
    ]
    if hasattr(minidl, name)
}
REDUCTIONS |= {"aminmax": lambda m, x: m.aminmax(x, dim=0), "diff": lambda m, x: m.diff(x)}
REDUCTIONS |= {
    "flip": lambda m, x: m.flip(x, (0,)),
    "all of all": lambda m, x: m.all(x),
    "max of all": lambda m, x: x.max(),
}
REDUCTIONS |= {"sum of all": lambda m, x, **d: m.sum(x, **d), "prod of all": lambda m, x, **d: m.prod(x, **d)}
REDUCTIONS |= {"median of all": lambda m, x: m.median(x), "norm": lambda m, x, **d: m.norm(x, 2, 0, **d)}
REDUCTIONS |= {"bincount": lambda m, x: m.bincount(x), "quantile": lambda m, x: m.quantile(x, 0.5)}
REDUCTIONS |= {
    "trace": lambda m, x: m.trace(x.reshape(1, 3)),
    "vector_norm": lambda m, x, **d: m.linalg.vector_norm(x, **d),
}
WITH_DTYPE = ["sum", "prod", "mean", "nansum", "nanmean", "cumsum", "cumprod", "softmax", "log_softmax", "sum of all"]
WITH_DTYPE += ["prod of all", "vector_norm", "norm"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    call = REDUCTIONS[name]
    found: list[str] = []
    for a in DTYPES:
        x, tx = pair([0, 1, 1] if name == "bincount" else second(a), a)
        if said := difference(outcome(call, minidl, x), outcome(call, torch, tx)):
            found.append(f"{name}({a}): {said}")
    report(found)


@pytest.mark.parametrize("name", WITH_DTYPE)
def test_reductions_in_a_given_type(name):
    call = REDUCTIONS[name]
    found: list[str] = []
    for a, b in itertools.product(DTYPES, DTYPES):
        x, tx = pair(second(a), a)
        mine = outcome(call, minidl, x, dtype=our_type(b))
        if said := difference(mine, outcome(call, torch, tx, dtype=getattr(torch, b))):
            found.append(f"{name}({a}, dtype={b}): {said}")
    report(found)


UNARY = [
    "abs",
    "neg",
    "sign",
    "sgn",
    "positive",
    "square",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
    "sigmoid",
    "logit",
    "erf",
    "erfc",
    "sinc",
    "floor",
    "ceil",
    "trunc",
    "round",
    "frac",
    "relu",
    "nan_to_num",
    "isnan",
    "isinf",
    "isfinite",
    "isposinf",
    "isneginf",
    "isreal",
    "signbit",
    "logical_not",
    "bitwise_not",
    "deg2rad",
    "rad2deg",
    "clone",
    "hardshrink",
    "selu",
    "celu",
    "threshold",
    "nn.functional.gelu",
    "nn.functional.silu",
    "nn.functional.mish",
    "nn.functional.softplus",
    "nn.functional.logsigmoid",
    "nn.functional.softsign",
    "nn.functional.tanhshrink",
    "nn.functional.elu",
    "nn.functional.leaky_relu",
    "nn.functional.relu6",
    "nn.functional.hardtanh",
    "nn.functional.hardsigmoid",
    "nn.functional.hardswish",
    "nn.functional.softshrink",
    "nn.functional.rrelu",
    "nn.functional.relu",
    "nn.functional.sigmoid",
    "nn.functional.tanh",
    "zeros_like",
    "ones_like",
]


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions(name):
    found: list[str] = []
    extra = (0.5, 1.0) if name == "threshold" else ()
    for a in DTYPES:
        for values in (second(a), 1, []):
            x, tx = pair(values, a)
            ours, theirs = minidl, torch
            for part in name.split("."):
                ours, theirs = getattr(ours, part), getattr(theirs, part)
            if said := difference(outcome(ours, x, *extra), outcome(theirs, tx, *extra)):
                found.append(f"{name}({a} {values}): {said}")
            if hasattr(minidl.Tensor, name + "_"):
                ours, theirs = getattr(minidl.Tensor, name + "_"), getattr(torch.Tensor, name + "_")
                if said := difference(outcome(ours, x, *extra), outcome(theirs, tx, *extra)):
                    found.append(f"{name}_({a} {values}): {said}")
    report(found)


def test_result_type_and_promote_types():
    found: list[str] = []
    for a, b in itertools.product(DTYPES, DTYPES):
        wanted = str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
        if minidl.promote_types(our_type(a), our_type(b)).name != wanted:
            found.append(f"promote_types({a}, {b}) is {minidl.promote_types(our_type(a), our_type(b))}, not {wanted}")
        if minidl.can_cast(our_type(a), our_type(b)) != torch.can_cast(getattr(torch, a), getattr(torch, b)):
            found.append(f"can_cast({a}, {b}) is {minidl.can_cast(our_type(a), our_type(b))}")
    for x, y in itertools.product(NUMBERS, NUMBERS):
        wanted = str(torch.result_type(x, y)).removeprefix("torch.")
        if minidl.result_type(x, y).name != wanted:
            found.append(f"result_type({x}, {y}) is {minidl.result_type(x, y)}, not {wanted}")
    report(found)
