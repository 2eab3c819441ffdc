"""Elementwise functions at the ends of the range of float16 and float32, each beside the textbook form that fails there:
it overflows, loses all digits, or is nan where the function is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import minidl
from minidl.nn import functional as F
from tests.test_promotion import our_type

INF, NAN = math.inf, math.nan
RELATIVE = {"float16": 2e-3, "float32": 4e-6}  # a few units in the last place
TAIL = 1e-2  # of gelu far below 0: its Φ there is a polynomial, with an absolute error of 1e-7 times the bell

# name: our function, PyTorch's (taken in float64), the naive form, and points of each type at which that form fails
CASES = {
    "sigmoid": (
        minidl.sigmoid,
        torch.sigmoid,
        lambda x: minidl.exp(x) / (1 + minidl.exp(x)),
        {"float16": [12.0, 100.0, 6e4], "float32": [90.0, 1e4, 3e38]},
    ),
    "logsigmoid": (
        F.logsigmoid,
        torch.nn.functional.logsigmoid,
        lambda x: minidl.log(1 / (1 + minidl.exp(-x))),
        {"float16": [-100.0, -12.0], "float32": [-1e4, -200.0, 20.0]},
    ),
    "softplus": (
        F.softplus,
        torch.nn.functional.softplus,
        lambda x: minidl.log(1 + minidl.exp(x)),
        {"float16": [15.0, -10.0, 100.0], "float32": [-20.0, 100.0, 1e30]},
    ),
    "log1p": (
        minidl.log1p,
        torch.log1p,
        lambda x: minidl.log(1 + x),
        {"float16": [1e-4, -2e-4], "float32": [1e-9, -1e-10, 1e-30]},
    ),
    "expm1": (
        minidl.expm1,
        torch.expm1,
        lambda x: minidl.exp(x) - 1,
        {"float16": [1e-4, -2e-4], "float32": [1e-9, -1e-10, 1e-30]},
    ),
    "silu": (
        F.silu,
        torch.nn.functional.silu,
        lambda x: x * minidl.exp(x) / (1 + minidl.exp(x)),
        {"float16": [12.0, 1000.0], "float32": [100.0, 1e10]},
    ),
    "mish": (
        F.mish,
        torch.nn.functional.mish,
        lambda x: x * minidl.tanh(minidl.log(1 + minidl.exp(x))),
        {"float16": [-10.0], "float32": [-20.0, -50.0]},
    ),
    "tanh": (
        minidl.tanh,
        torch.tanh,
        lambda x: (minidl.exp(x) - minidl.exp(-x)) / (minidl.exp(x) + minidl.exp(-x)),
        {"float16": [12.0, -30.0, 1e-4], "float32": [100.0, -3e38, 1e-9]},
    ),
    "sinh": (
        minidl.sinh,
        torch.sinh,
        lambda x: (minidl.exp(x) - minidl.exp(-x)) / 2,
        {"float16": [1e-4, 11.5], "float32": [1e-9, 89.0]},
    ),
    "cosh": (
        minidl.cosh,
        torch.cosh,
        lambda x: (minidl.exp(x) + minidl.exp(-x)) / 2,
        {"float16": [11.5, -11.5], "float32": [89.0, -89.0]},
    ),
    "asinh": (
        minidl.asinh,
        torch.asinh,
        lambda x: minidl.log(x + minidl.sqrt(x * x + 1)),
        {"float16": [-300.0, 1e-4], "float32": [-1e5, 1e30, 1e-9]},
    ),
    "acosh": (
        minidl.acosh,
        torch.acosh,
        lambda x: minidl.log(x + minidl.sqrt(x * x - 1)),
        {"float16": [300.0, 6e4], "float32": [1e20, 3e38]},
    ),
    "atanh": (
        minidl.atanh,
        torch.atanh,
        lambda x: minidl.log((1 + x) / (1 - x)) / 2,
        {"float16": [1e-4], "float32": [1e-9, -1e-12]},
    ),
    "erfc": (
        minidl.erfc,
        torch.erfc,
        lambda x: 1 - minidl.erf(x),
        {"float16": [2.5, 3.0], "float32": [5.0, 9.0]},
    ),
    "gelu": (
        F.gelu,
        torch.nn.functional.gelu,
        lambda x: x * (1 + minidl.erf(x / math.sqrt(2))) / 2,
        {"float16": [-4.0], "float32": [-6.0, -7.0]},
    ),
    "logit near 0": (
        minidl.logit,
        torch.logit,
        lambda x: -minidl.log(1 / x - 1),
        {"float16": [1e-5], "float32": [1e-39]},
    ),
    "rsqrt": (
        minidl.rsqrt,
        torch.rsqrt,
        lambda x: minidl.sqrt(1 / x),
        {"float16": [1e-5], "float32": [1e-39]},
    ),
}
PAIRS = {
    "hypot": (
        minidl.hypot,
        torch.hypot,
        lambda a, b: minidl.sqrt(a * a + b * b),
        {"float16": [(300.0, 400.0), (3e-4, 4e-4)], "float32": [(3e30, 4e30), (3e-30, 4e-30)]},
    ),
    "logaddexp": (
        minidl.logaddexp,
        torch.logaddexp,
        lambda a, b: minidl.log(minidl.exp(a) + minidl.exp(b)),
        {"float16": [(20.0, 20.0), (-30.0, -30.0)], "float32": [(1000.0, 1000.0), (-200.0, -201.0)]},
    ),
    "logaddexp2": (
        minidl.logaddexp2,
        torch.logaddexp2,
        lambda a, b: minidl.log2(minidl.exp2(a) + minidl.exp2(b)),
        {"float16": [(20.0, 20.0), (-30.0, -30.0)], "float32": [(200.0, 200.0), (-200.0, -201.0)]},
    ),
    "xlogy": (
        minidl.xlogy,
        torch.xlogy,
        lambda a, b: a * minidl.log(b),
        {"float16": [(0.0, 0.0), (0.0, INF)], "float32": [(0.0, 0.0), (0.0, INF)]},
    ),
    "lerp": (
        lambda a, b: minidl.lerp(a, b, 1.0),
        lambda a, b: torch.lerp(a, b, 1.0),
        lambda a, b: a + 1.0 * (b - a),
        {"float16": [(6e4, 1e-3)], "float32": [(1e20, 1.0), (-3e30, 3e-30)]},
    ),
    "remainder": (
        minidl.remainder,
        torch.remainder,
        lambda a, b: a - b * minidl.floor(a / b),
        {"float16": [(6e4, 0.5), (5.0, INF)], "float32": [(1e30, 1e-10), (5.0, INF)]},
    ),
}
ALL = {**{k: (v, 1) for k, v in CASES.items()}, **{k: (v, 2) for k, v in PAIRS.items()}}
RUNS = [(name, dtype) for name in ALL for dtype in ("float16", "float32")]


def close(mine, exact, dtype, relative):
    """Where a result is right to a few units in the last place, a subnormal to the smallest step."""
    info = np.finfo(dtype)
    exact = np.asarray(exact)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype).astype("float64")
        near = np.abs(mine - exact) <= relative * np.abs(exact) + 2 * float(info.smallest_subnormal)
    return near | (mine == rounded) | (np.isnan(mine) & np.isnan(exact))


@pytest.mark.parametrize(("name", "dtype"), RUNS)
def test_stable_where_the_naive_form_fails(name, dtype):
    (function, reference, naive, points), arguments = ALL[name]
    columns = [points[dtype]] if arguments == 1 else list(zip(*points[dtype]))
    tensors = [minidl.tensor(list(c), dtype=our_type(dtype)) for c in columns]
    exact = reference(*[torch.from_numpy(t.numpy().astype("float64")) for t in tensors]).numpy()
    relative = TAIL if name == "gelu" else RELATIVE[dtype]
    mine, other = (f(*tensors).numpy() for f in (function, naive))
    assert mine.dtype == dtype
    assert close(mine.astype("float64"), exact, dtype, relative).all(), f"{mine}, exactly {exact}"
    assert not close(other.astype("float64"), exact, dtype, relative).any(), f"the naive form does not fail: {other}"


LIMITS = {
    "sigmoid": (minidl.sigmoid, [0.0, 1.0, NAN]),
    "logsigmoid": (F.logsigmoid, [-INF, 0.0, NAN]),
    "softplus": (F.softplus, [0.0, INF, NAN]),
    "tanh": (minidl.tanh, [-1.0, 1.0, NAN]),
    "erf": (minidl.erf, [-1.0, 1.0, NAN]),
    "erfc": (minidl.erfc, [2.0, 0.0, NAN]),
    "gelu": (F.gelu, [0.0, INF, NAN]),
    "expm1": (minidl.expm1, [-1.0, INF, NAN]),
    "asinh": (minidl.asinh, [-INF, INF, NAN]),
    "sinh": (minidl.sinh, [-INF, INF, NAN]),
    "atan": (minidl.atan, [-math.pi / 2, math.pi / 2, NAN]),
    "elu": (F.elu, [-1.0, INF, NAN]),
    "relu": (F.relu, [0.0, INF, NAN]),
    "hardtanh": (F.hardtanh, [-1.0, 1.0, NAN]),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", LIMITS)
def test_limits_at_infinity(name, dtype):
    """The limit of the function; for gelu too, where PyTorch's product -inf · 0 is nan."""
    function, expected = LIMITS[name]
    mine = function(minidl.tensor([-INF, INF, NAN], dtype=our_type(dtype)))
    wanted = minidl.tensor(expected, dtype=our_type(dtype))
    np.testing.assert_allclose(mine.double().numpy(), wanted.double().numpy(), rtol=1e-2 if "16" in dtype else 1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "logsigmoid", "softplus", "silu", "mish", "tanh", "gelu", "expm1", "erf"])
@pytest.mark.parametrize("x", [-1e4, -200.0, -100.0, 100.0, 200.0, 1e4])
def test_gradients_far_from_zero_are_numbers(name, x):
    if name == "expm1" and x > 0:
        x = 80.0
    ours, theirs = (getattr(m, name, None) or getattr(m.nn.functional, name) for m in (minidl, torch))
    leaf = minidl.tensor([x], requires_grad=True)
    exact = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    ours(leaf).backward(minidl.ones(1))
    theirs(exact).backward(torch.ones(1, dtype=torch.float64))
    assert math.isfinite(leaf.grad.item())
    assert leaf.grad.item() == pytest.approx(exact.grad.item(), rel=1e-5, abs=1e-37)
