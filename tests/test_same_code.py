"""The same lines run in minidl and in PyTorch: the same values, types, places on the tape, versions and refusals.

``L`` is the library, ``T`` its ``tensor``, ``D`` its data loading. A snippet ends at its first error, whose class must
be the same.
"""

from __future__ import annotations

import collections
import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data

import minidl
import minidl.data
import minidl.utils.checkpoint


class Outcome:
    """What a snippet left: its variables, and the class of the error that ended it."""

    def __init__(self, library: Any, code: str) -> None:
        self.log: list = []
        self.names: dict[str, Any] = {"L": library, "T": library.tensor, "np": np, "math": math}
        self.names |= {"copy": copy, "pickle": pickle, "collections": collections, "log": self.log}
        self.names["D"] = torch.utils.data if library is torch else minidl.data
        given = set(self.names)
        self.error: Exception | None = None
        try:
            exec(FUNCTIONS, self.names)
            given = set(self.names)
            exec(code, self.names)
        except Exception as error:
            self.error = error
        self.values = {k: v for k, v in self.names.items() if k not in given and k != "__builtins__"} | {
            "log": self.log
        }


FUNCTIONS = """
class Square(L.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g

class Triple(L.autograd.Function):
    "In place."
    @staticmethod
    def forward(ctx, x):
        x.mul_(3)
        ctx.mark_dirty(x)
        return x
    @staticmethod
    def backward(ctx, g):
        return g * 3

class Same(L.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x
    @staticmethod
    def backward(ctx, g):
        return g * 5

class Once(Square):
    @staticmethod
    @L.autograd.function.once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g

class Setup(L.autograd.Function):
    @staticmethod
    def forward(x):
        return x.sin(), x
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
    @staticmethod
    def backward(ctx, g, h):
        (x,) = ctx.saved_tensors
        return g * x.cos() + h

class Broadcast(L.autograd.Function):
    "Its gradient has the broadcast shape."
    @staticmethod
    def forward(ctx, x, y):
        return x + y
    @staticmethod
    def backward(ctx, g):
        return g, g

class Forgets(Triple):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x * 2
"""


def same(mine: Any, theirs: Any, what: str) -> None:
    """Both libraries' values agree, in all that a user can ask of them."""
    assert isinstance(mine, minidl.Tensor) == isinstance(theirs, torch.Tensor), f"{what}: {mine!r}, {theirs!r}"
    if isinstance(theirs, torch.Tensor):
        assert mine.shape == tuple(theirs.shape), what
        assert str(mine.dtype) == str(theirs.dtype).replace("torch", "minidl"), what
        np.testing.assert_allclose(
            np.asarray(mine.tolist(), float), np.asarray(theirs.tolist(), float), rtol=1e-6, err_msg=what
        )
        for name in ("requires_grad", "is_leaf", "_version", "grad_fn"):
            ours, expected = (ask(x, name) for x in (mine, theirs))
            if name == "grad_fn" and "RuntimeError" not in (ours, expected):
                ours, expected = ours is None, expected is None
            assert ours == expected, f"{what}.{name}: {ours}, in PyTorch {expected}"
        if ask(theirs, "is_leaf") is True or theirs.retains_grad:
            same_values(mine.grad, theirs.grad, f"{what}.grad")
        if theirs.is_contiguous():
            assert mine.is_contiguous(), f"{what} of shape {mine.shape} has strides {mine.stride()}"
    elif isinstance(theirs, (tuple, list)) and not isinstance(theirs, torch.Size):
        assert len(mine) == len(theirs), what
        for i, (x, y) in enumerate(zip(mine, theirs)):
            same(x, y, f"{what}[{i}]")
    elif isinstance(theirs, np.ndarray):
        assert isinstance(mine, np.ndarray), what
        assert mine.dtype == theirs.dtype, what
        np.testing.assert_array_equal(mine, theirs)
    elif isinstance(theirs, str):
        assert mine == theirs.replace("torch", "minidl"), what
    elif isinstance(theirs, (bool, int, float, complex, type(None))):
        assert repr(mine) == repr(theirs), what
    elif isinstance(theirs, torch.Size):
        assert mine == tuple(theirs), what
    elif isinstance(theirs, torch.dtype):
        assert str(mine) == str(theirs).replace("torch", "minidl"), what


def same_values(mine: Any, theirs: Any, what: str) -> None:
    assert (mine is None) == (theirs is None), f"{what}: {mine}, in PyTorch {theirs}"
    if theirs is not None:
        np.testing.assert_allclose(np.asarray(mine.tolist()), np.asarray(theirs.tolist()), rtol=1e-6, err_msg=what)


def ask(tensor: Any, name: str) -> Any:
    try:
        return getattr(tensor, name)
    except RuntimeError:
        return "RuntimeError"


def check(code: str) -> None:
    mine, theirs = Outcome(minidl, code), Outcome(torch, code)
    refusals = [None if o.error is None else type(o.error).__name__ for o in (mine, theirs)]
    assert refusals[0] == refusals[1], f"minidl: {mine.error!r}\nPyTorch: {theirs.error!r}"
    assert mine.values.keys() == theirs.values.keys()
    for name, value in theirs.values.items():
        same(mine.values[name], value, name)


# One expression a line.
EXPRESSIONS = """
~T([1.])
abs(T(True))
T([1.]) << 1
T([1.]) & 1
T([1, 2]) * np.float64(2)
np.float64(2) * T([1, 2])
T([1.5], dtype=L.float16) * np.float64(3)
T([1.5]) * np.float64(3)
T(1.5) * np.float64(3)
T([1.5]) / np.sqrt(4)
T(2) * np.float32(2)
T([1], dtype=L.int8) + np.int64(3)
T([True]) + np.int64(1)
L.clamp(T([1]), np.float64(0.5), None)
T([2]) ** np.float64(2)
L.Tensor(2, 3).shape
L.Tensor(3).shape
L.Tensor()
L.Tensor([1, 2])
L.Tensor((1, 2))
L.Tensor(2.5)
L.Tensor([1], [2])
T([1, 2]).real
T([1, 2]).imag
T([1, 2]).conj()
L.detach(T([1.0]))
L.get_device(T([1]))
L.is_signed(T([1]))
T([1, 2]).__delitem__(0)
np.from_dlpack(T([1, 2]))
L.from_dlpack(np.arange(3))
np.from_dlpack(T([1.0], requires_grad=True))
T([1, 2], dtype=L.uint8).index_fill(0, T([0]), -1)
T([1, 2], dtype=L.uint8).scatter(0, T([0]), -1)
T([1.0, 2.0]).addcmul(T([1.0, 2.0]), T([1.0, 2.0]), value=True)
T(3).unflatten(0, (1, 1))
T([[3, 1, 2], [1, 5, 4]]).sort(descending=True)
T([[3, 1, 2], [1, 5, 4]]).argsort(descending=True)
T([[3, 1, 2], [1, 5, 4]]).topk(2)
T([[3, 1, 2], [1, 5, 4]]).T.cumsum(0)
T([[3, 1, 2], [1, 5, 4]]).T.cummax(1)
T([[3, 1, 2], [1, 5, 4]]).T.cumprod(1)
T([[3.0, 1, 2], [1, 5, 4]]).T.logcumsumexp(1)
T([[3, 1, 2], [1, 5, 4]])[:, [0, 2]].view(-1)
T([[3, 1, 2], [1, 5, 4]]).index_select(1, T([0, 2])).view(-1)
T([[3, 1, 2], [1, 5, 4]]).T.gather(0, T([[0, 1], [2, 0]])).view(-1)
L.cat([T([[3, 1], [1, 5]]).T, T([[3, 1], [1, 5]]).T]).view(-1)
L.stack([T([[3, 1], [1, 5]]).T, T([[3, 1], [1, 5]]).T], 1).view(-1)
T([[3, 1], [1, 5]]).T.masked_fill(T([True, False]), 0).view(-1)
T([[3, 1], [1, 5]]).T.roll(1).view(-1)
T([[[3, 1], [1, 5]]]).mT.tril().view(-1)
T([[3, 1, 2], [1, 5, 4]]).T.view(-1)
T([[[3, 1, 2], [1, 5, 4]]]).transpose(1, 2).view(-1)
L.arange(24).view(1, 2, 3, 4).permute(0, 3, 1, 2).view(-1)
L.arange(12).as_strided((2, 3), (1, 2), 3)
L.arange(12)[3:].as_strided((2, 2), (4, 1))
L.arange(12).view(3, 4).T.as_strided((4,), (3,))
L.arange(4, dtype=L.float32).as_strided((2,), (2,)).as_strided((4,), (1,))
L.arange(4).as_strided((3, 2), (2, 1))
L.arange(4).as_strided((3,), (2, 1))
L.arange(4).as_strided((3,), (-1,))
L.arange(4).as_strided((3,), (1,), -1)
T([1.0, 2.0]).as_strided((2, 2), (0, 0))
T([], dtype=L.float64).view(L.float32)
T([[1.0, 2.0], [3.0, 4.0]])[:, :1].contiguous().view(L.int16)
L.zeros(3).register_post_accumulate_grad_hook(print)
D.default_collate([collections.defaultdict(int, a=1), collections.defaultdict(int, a=2)])["b"]
D.default_collate([(T([1]), "a", {"x": 1.5}), (T([2]), "b", {"x": 2.5})])
D.default_collate([T([1.0], requires_grad=True), T([2.0])])
next(iter(D.DataLoader([T([1.0], requires_grad=True)])))
D.TensorDataset(T([1, 2]), T([3]))
L.arange(2.5, dtype=L.int32)
L.arange(2.5, dtype=L.int64)
L.arange(0, 1, 0.25, dtype=L.uint8)
L.arange(0, 1, 0.25, dtype=L.int64)
L.arange(5, 1, -1.5, dtype=L.int8)
L.full((2,), 1e40, dtype=L.float32)
L.full((2,), 7e4, dtype=L.float16)
L.full((2,), float("inf"), dtype=L.float16)
L.full((2,), 1e40)
L.linalg.matrix_power(L.eye(2), 1.5)
D.ConcatDataset([])
D.ConcatDataset([[1, 2], [3]])[-4]
D.ConcatDataset([[1, 2], [3]])[3]
list(D.ConcatDataset([[1, 2], [3]]))
list(D.ChainDataset([[1]]))
list(D.WeightedRandomSampler([0.0, 0.0], 2))
list(D.WeightedRandomSampler([0.5, 0.5], 3, replacement=False))
D.DataLoader([1, 2], multiprocessing_context="fork")
D.DataLoader([1, 2], multiprocessing_context="wrong", num_workers=1)
setattr(D.DataLoader([1, 2]), "batch_size", 2)
setattr(D.DataLoader([1, 2]), "sampler", [1])
setattr(D.DataLoader([1, 2]), "num_workers", 2)
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(expression):
    check(f"y = {expression}")


PROGRAMS = {
    "a view of a computed tensor is changed by a Function": """
x = T([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
y = x * 1
v = y[0]
w = Triple.apply(v)
same_one = w is v
y.sum().backward()
""",
    "a leaf is changed by a Function": "x = T([1.0], requires_grad=True)\ny = Triple.apply(x)",
    "a view of a leaf is changed by a Function": "x = T([1.0], requires_grad=True)\ny = Triple.apply(x[:])",
    "a constant is changed by a Function": "x = T([1.0])\ny = Triple.apply(x)\nsame_one = y is x",
    "under no_grad a Function gives an alias of what requires grad": """
x = T([1.0], requires_grad=True) * 1
with L.no_grad():
    y = Triple.apply(x)
    z = Same.apply(x)
x.add_(1)
""",
    "an input that comes back is a view of its own": """
x = T([1.0, 2.0], requires_grad=True)
y = Same.apply(x)
same_one = y is x
y.sum().backward()
""",
    "what a Function returned as a view may not be changed": """
x = T([1.0, 2.0], requires_grad=True) * 1
y = Same.apply(x)
y.mul_(2)
""",
    "nor used once its base has been": """
x = T([1.0, 2.0], requires_grad=True) * 1
y = Same.apply(x)
x.mul_(2)
y.sum()
""",
    "the same, unrecorded": "with L.no_grad():\n    y = Setup.apply(T([1.0], requires_grad=True))",
    "an input returned and saved in setup_context": "y = Setup.apply(T([1.0], requires_grad=True))",
    "an input marked dirty but not returned": "y = Forgets.apply(T([1.0], requires_grad=True) * 1)",
    "a Function's gradient of the broadcast shape is summed": """
x = T([1.0], requires_grad=True)
y = T([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
Broadcast.apply(x, y).sum().backward()
""",
    "a Function's gradient of another shape": """
class Wrong(Square):
    @staticmethod
    def backward(ctx, g):
        return L.ones(3)
x = T([1.0, 2.0], requires_grad=True)
Wrong.apply(x).sum().backward()
""",
    "numbers among what is saved": """
class Number(Square):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x, 3)
        return x
y = Number.apply(T([1.0], requires_grad=True))
""",
    "once differentiable": """
x = T([3.0], requires_grad=True)
(g,) = L.autograd.grad(Once.apply(x).sum(), x)
seed = L.ones(1, requires_grad=True)
(h,) = L.autograd.grad(Once.apply(x), x, seed, create_graph=True)
h.sum().backward()
""",
    "a leaf that is switched off later": """
x = T([3.0], requires_grad=True)
y = x * x
x.requires_grad_(False)
y.sum().backward()
""",
    "an input named twice": "x = T([3.0], requires_grad=True)\n(x * 2).sum().backward(inputs=[x, x])",
    "inputs that are no leaves retain their gradient": """
x = T([3.0], requires_grad=True)
y = x * 2
y.sum().backward(inputs=[y], retain_graph=True)
y.sum().backward()
""",
    "unused inputs get zeros that can be differentiated": """
x, y = T([3.0], requires_grad=True), T([3.0], requires_grad=True)
a, b = L.autograd.grad(x.sum(), [x, y], materialize_grads=True, create_graph=True)
""",
    "requires_grad of what was computed": "x = T([3.0], requires_grad=True) * 1\nx.requires_grad_()\nx.requires_grad = True",
    "a leaf that is a view": """
base = L.zeros(4)
x = base[:2].requires_grad_()
x[1:].fill_(1.0)
""",
    "a comparison in place that does not broadcast": """
x = L.ones(1, 3, requires_grad=True) * 1
x[:, :1].eq_(x.detach())
""",
    "an integer tensor takes what requires grad": "x = T([1, 2])\nx.copy_(T([3.5, 4.5], requires_grad=True))",
    "assigning at False changes nothing": "x = T([1, 2])\nx[False] = 3.5\nx[True] = T([4, 5])",
    "scattering nothing still copies": """
x = T([1, 2])
y = x.scatter(0, T([], dtype=L.int64), 7)
y.add_(1)
""",
    "what the weight alone needs is not kept": """
x, y = T([1.0], requires_grad=True) * 1, T([2.0])
a, b = x.lerp(y, 0.25), x / T([4.0])
x.add_(1)
y.add_(1)
(a + b).sum().backward()
""",
    "a remainder by a constant keeps nothing": """
x = T([5.0], requires_grad=True)
y = x % T([3.0])
y.backward(L.ones(1))
y.backward(L.ones(1))
""",
    "gradient of a view by strides": """
x = L.arange(8.0).requires_grad_()
y = (x * 1).as_strided((3, 2), (2, 1), 1)
(y * y).sum().backward()
""",
    "gradient of a view by strides of overlapping memory": """
x = L.arange(3.0).requires_grad_()
y = x.unfold(0, 2, 1).as_strided((2, 2), (1, 1))
(y * L.arange(4.0).view(2, 2)).sum().backward()
""",
    "a view by strides is changed": """
x = L.arange(6.0).requires_grad_()
y = (x * 1).view(2, 3).T.contiguous().T
y.as_strided((2,), (3,), 1).mul_(10)
(y * L.arange(6.0).view(2, 3)).sum().backward()
""",
    "second order through a changed view by strides": """
x = L.arange(1.0, 5.0).requires_grad_()
y = x * x
y.as_strided((2,), (2,)).mul_(3)
(g,) = L.autograd.grad((y * y).sum(), x, create_graph=True)
g.sum().backward()
""",
    "gradients of a batch of vectors": """
x = T([1.0, 2.0, 3.0], requires_grad=True)
y = T([1.0], requires_grad=True)
v = L.eye(3) * 2
a = L.autograd.grad(x * x, x, v, is_grads_batched=True)
b = L.autograd.grad(x * x, (x, y), (v,), is_grads_batched=True, allow_unused=True, create_graph=True)
b[0].sum().backward()
""",
    "unused and not allowed, yet materialized": """
x = T([1.0], requires_grad=True)
L.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)
""",
    "Jacobians by name of their strategy": """
J = L.autograd.functional.jacobian
H = L.autograd.functional.hessian
a = J(lambda x: x**2, T([1.0, 2.0]), strategy="reverse-mode")
b = H(lambda x: (x**3).sum(), T([1.0, 2.0]), outer_jacobian_strategy="reverse-mode")
J(lambda x: x**2, T([1.0, 2.0]), strategy="sideways")
""",
    "Jacobians of a list": "L.autograd.functional.jacobian(lambda x: x**2, [T([1.0])])",
    "the Hessian of what is linear, strictly": """
L.autograd.functional.hvp(lambda x: x.sum(), T([1.0]), T([1.0]), strict=True)
""",
    "inference mode": """
x = T([1.0], requires_grad=True)
with L.inference_mode():
    inside = L.is_inference_mode_enabled(), L.is_grad_enabled(), (x * 2).requires_grad
    with L.inference_mode(False):
        again = L.is_inference_mode_enabled(), L.is_grad_enabled()
@L.inference_mode()
def f():
    return L.is_inference_mode_enabled()
@L.inference_mode
def g():
    return L.is_grad_enabled()
@L.inference_mode(mode=False)
def h():
    return L.is_grad_enabled()
with L.no_grad():
    answers = f(), g(), h()
after = L.is_inference_mode_enabled(), L.is_grad_enabled()
""",
    "a convolution's output is viewed": """
x = L.arange(48.0).view(2, 3, 8)
y = L.nn.functional.conv1d(x, L.ones(4, 3, 3))
a, b, c = y.view(2, -1), y.unsqueeze(1).view(2, -1), y[0].view(-1)
z = L.nn.functional.conv2d(x.view(2, 3, 2, 4), L.ones(4, 3, 2, 2))
d, e, f = z.flatten(2).view(2, -1), z[1].view(-1), z.sum(-1).view(-1)
z[:, :, :, :2].view(-1)
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    code = PROGRAMS[name]
    if name == "a convolution's output is viewed":
        mine, theirs = Outcome(minidl, code), Outcome(torch, code)
        assert type(mine.error) is type(theirs.error) is RuntimeError
        for variable in "abcdef":
            same_values(mine.names[variable], theirs.names[variable], variable)
    else:
        check(code)
