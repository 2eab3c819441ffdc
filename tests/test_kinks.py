"""Where a derivative does not exist, or the function leaves the numbers, the gradient is a convention: PyTorch's."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

import minidl
from minidl.tensor import wrap

INF, NAN = math.inf, math.nan
FINITE = [0.0, -0.0, 1.0, -1.0, 2.0]
EDGES = [*FINITE, NAN, INF]
POINTS = np.array([-20.0, -3, -1, -0.5, 0, -0.0, 0.5, 1, 3, 6, 20, 21])
PAIRS = [np.array(column) for column in zip(*product(EDGES, EDGES))]
PLAIN_PAIRS = [np.array(column) for column in zip(*product(FINITE, FINITE))]
TRIPLES = [np.array(column) for column in zip(*product([0.0, 1.0, 2.0, NAN, -1.0], repeat=3))]
TIES = np.array([[0.0, 1, 0, 2], [1, 1, 1, 1], [0, 0, 3, 3]])
MATRICES = [np.zeros((3, 4)), np.ones((3, 4)), TIES, np.array([[2.0, 2, 1, 3, 3]]), np.array([[1.0], [2]])]
MATRICES += [np.array([[-0.0, 0, 5]]), np.zeros((0, 3))]
ACTIVATIONS = [
    "relu",
    "relu6",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "hardshrink",
    "softshrink",
    "gelu",
    "silu",
    "mish",
    "softplus",
    "logsigmoid",
    "softsign",
    "tanhshrink",
]
UNARY = [
    "abs",
    "sign",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "log",
    "log2",
    "log10",
    "log1p",
    "asin",
    "acos",
    "acosh",
    "atanh",
    "logit",
    "sinc",
    "floor",
    "round",
    "frac",
    "relu",
    "square",
    "nan_to_num",
    "tanh",
]
BINARY = [
    "hypot",
    "atan2",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "pow",
    "xlogy",
    "copysign",
    "fmod",
    "remainder",
    "div",
    "logaddexp",
    "mul",
    "max",
    "min",
    "clamp_min",
    "clamp_max",
]
REDUCTIONS = [
    "max",
    "min",
    "amax",
    "amin",
    "median",
    "nanmedian",
    "std",
    "var",
    "prod",
    "cumprod",
    "cummax",
    "cummin",
    "sort",
    "logsumexp",
    "mean",
    "softmax",
    "log_softmax",
    "std_mean",
    "var_mean",
]

CASES = {}
for name in UNARY:
    CASES[name] = lambda m, x, name=name: getattr(m, name)(x), [POINTS]
CASES["logit"] = (
    CASES["logit"][0],
    [POINTS[~np.signbit(POINTS) | (POINTS != 0)]],
)  # at -0 PyTorch's sign is the processor's
for name in ACTIVATIONS:
    CASES[f"F.{name}"] = lambda m, x, name=name: getattr(m.nn.functional, name)(x), [POINTS]
for name in BINARY:
    CASES[name] = lambda m, x, y, name=name: getattr(m, name)(x, y), PAIRS
for number in (0.0, 1.0, 2.0, -1.0, 0.5, 3.0, -2.5):
    points = POINTS[POINTS > -1] if number % 1 else POINTS
    points = points[~np.signbit(points) | (points != 0)]
    CASES[f"x ** {number}"] = lambda m, x, n=number: x**n, [points]
    CASES[f"{number} ** x"] = lambda m, x, n=number: n**x, [POINTS]
    CASES[f"xlogy(x, {number})"] = lambda m, x, n=number: m.xlogy(x, n), [POINTS]
    CASES[f"xlogy({number}, x)"] = lambda m, x, n=number: m.xlogy(n, x), [POINTS]
    CASES[f"clamp(min={number})"] = lambda m, x, n=number: m.clamp(x, min=n), [np.append(POINTS, NAN)]
    CASES[f"clamp(max={number})"] = lambda m, x, n=number: m.clamp(x, max=n), [np.append(POINTS, NAN)]
    CASES[f"clamp(-1, {number})"] = lambda m, x, n=number: m.clamp(x, -1.0, n), [np.append(POINTS, NAN)]
    CASES[f"x / {number}"] = lambda m, x, n=number: x / n, [POINTS]
    CASES[f"{number} / x"] = lambda m, x, n=number: n / x, [POINTS]
    CASES[f"remainder(x, {number})"] = lambda m, x, n=number: m.remainder(x, n), [POINTS]
    CASES[f"lerp(weight={number})"] = lambda m, x, y, n=number: m.lerp(x, y, n), PAIRS
CASES |= {
    "clamp tensors": (lambda m, x, low, high: m.clamp(x, low, high), TRIPLES),
    "lerp tensors": (lambda m, x, y, w: m.lerp(x, y, w), TRIPLES),
    "where beside nan": (lambda m, x: m.where(x > 0, m.sqrt(x), x * 0), [POINTS]),
    "where and log": (lambda m, x, y: m.where(x > 0, m.log(x), y), PLAIN_PAIRS),
    "logit eps": (lambda m, x: m.logit(x, 0.25), [np.array([0.25, 0.75, 0.5, 0, 1, -1, 2])]),
    "threshold": (lambda m, x: m.nn.functional.threshold(x, 1.0, 5.0), [POINTS]),
    "addcdiv": (lambda m, x, y: m.addcdiv(x, y, x, value=2), PLAIN_PAIRS),
    "std, one too many": (lambda m, x: m.std(x, 1), [np.array([[1.0], [2.0]])]),
    "var, correction 0": (lambda m, x: m.var(x, 1, correction=0), [TIES]),
    "max pool": (lambda m, x: m.nn.functional.max_pool1d(x, 2), [TIES]),
    "normalize": (lambda m, x: m.nn.functional.normalize(x), [TIES * [[1], [1], [0]]]),
    "cosine similarity": (lambda m, x, y: m.nn.functional.cosine_similarity(x, y), [TIES, np.zeros((3, 4))]),
}
for loss in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
    CASES[loss] = lambda m, x, y, n=loss: getattr(m.nn.functional, n)(x, y, reduction="none"), PLAIN_PAIRS
for beta in (0.0, 0.5, 2.0):
    CASES[f"smooth_l1 at {beta}"] = (
        lambda m, x, y, b=beta: m.nn.functional.smooth_l1_loss(x, y, reduction="none", beta=b),
        [POINTS, POINTS + beta],
    )
CASES["huber at 2"] = (
    lambda m, x, y: m.nn.functional.huber_loss(x, y, delta=2.0, reduction="none"),
    [POINTS, POINTS - 2],
)
for i, matrix in enumerate(MATRICES):
    for name in REDUCTIONS:
        if matrix.size or name not in ("max", "min", "amax", "amin", "median", "nanmedian", "cummax", "cummin"):
            CASES[f"{name} of matrix {i}"] = lambda m, x, n=name: getattr(m, n)(x, 1), [matrix]
    for p in (0, 0.5, 1, 1.5, 2, 3, INF, -INF, -1):
        CASES[f"{p}-norm of matrix {i}"] = lambda m, x, p=p: m.linalg.vector_norm(x, p, 1), [matrix]
    for p in (0.5, 1.0, 2.0, 3.0, INF) if matrix.size else ():
        CASES[f"{p}-distance of matrix {i}"] = lambda m, x, p=p: m.cdist(x, x, p), [matrix]
        CASES[f"{p}-pdist of matrix {i}"] = lambda m, x, p=p: m.nn.functional.pdist(x, p), [matrix]
for name in ("max", "min", "amax", "amin", "median", "std", "prod", "norm"):
    CASES[f"{name} of all"] = lambda m, x, n=name: getattr(m, n)(x), [TIES]


def values_and_gradients(library, function, arrays):
    ours = library is minidl
    leaves = [wrap(a.copy()) if ours else torch.from_numpy(a.copy()) for a in arrays]
    for leaf in leaves:
        leaf.requires_grad_()
    result = function(library, *leaves)
    outputs = [y for y in (result if isinstance(result, tuple) else (result,)) if y.requires_grad]
    if not outputs:
        return [np.asarray(result.tolist())]
    cotangents = [np.linspace(0.5, 1.5, math.prod(y.shape)).reshape(tuple(y.shape)) for y in outputs]
    cotangents = [wrap(c) if ours else torch.from_numpy(c) for c in cotangents]
    gradients = library.autograd.grad(outputs, leaves, cotangents, allow_unused=True, materialize_grads=True)
    return [np.asarray(t.detach().numpy()) for t in (*outputs, *gradients)]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_kinks_are_pytorchs(name):
    function, arrays = CASES[name]
    ours = values_and_gradients(minidl, function, arrays)
    theirs = values_and_gradients(torch, function, arrays)
    assert len(ours) == len(theirs)
    for position, (mine, other) in enumerate(zip(ours, theirs)):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-9, err_msg=f"{name}, number {position}")
