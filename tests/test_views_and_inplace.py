"""Views and changes in place, against PyTorch: random programs first, then the rules one by one."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
import torch

import minidl

PROGRAMS = 500
STEPS = 12
SHAPES = [(4,), (2, 3), (3, 4), (2, 3, 2), (1, 3), ()]


# ------------------------------------------------------------------------------------------------------ random programs
#
# A step is a name, the numbers of the tensors it reads, and a function of the library and these tensors: all choices
# are made before, so that both libraries run the same program. Each new tensor joins the state.


def view_step(rng, x):
    """A view of a tensor of the shape of ``x``: (name, function)."""
    ndim, shape = x.ndim, x.shape
    axis = int(rng.integers(-ndim, ndim)) if ndim else 0
    size = shape[axis] if ndim else 1
    place = int(rng.integers(-size, size)) if size else 0
    start, stop = sorted(int(i) for i in rng.integers(0, size + 1, 2))
    parts = int(rng.integers(1, 4))
    part = int(rng.integers(0, 2))
    order = tuple(int(d) for d in rng.permutation(ndim))
    ellipsis_index = (..., slice(start, stop)) if ndim else (..., None)
    choices = [
        ("alias", lambda x: x[...]),
        ("new axis", lambda x: x[None]),
        ("slice", lambda x: x[ellipsis_index]),
        ("select", lambda x: x.select(axis, place)),
        ("narrow", lambda x: x.narrow(axis, start, stop - start)),
        ("permute", lambda x: x.permute(order)),
        ("transpose", lambda x: x.transpose(0, -1)),
        ("reverse axes", lambda x: x.permute(tuple(reversed(range(ndim))))),
        ("flatten", lambda x: x.flatten()),
        ("view", lambda x: x.view(-1)),
        ("view as column", lambda x: x.view(-1, 1)),
        ("reshape", lambda x: x.reshape(1, -1)),
        ("squeeze", lambda x: x.squeeze()),
        ("unsqueeze", lambda x: x.unsqueeze(-1)),
        ("expand", lambda x: x.expand(2, *shape)),
        ("expand, then row", lambda x: x.expand(2, *shape)[0]),
        ("diagonal", lambda x: x.diagonal()),
        ("unfold", lambda x: x.unfold(0, min(2, shape[0] if shape else 1), 2)),
        ("unbind", lambda x: x.unbind(axis)[part]),
        ("chunk", lambda x: x.chunk(parts, axis)[0]),
        ("split", lambda x: x.split(1, axis)[part]),
        ("tensor_split", lambda x: x.tensor_split(2, axis)[part]),
        ("detach", lambda x: x.detach()),
        ("row", lambda x: x[place]),
        ("step", lambda x: x[::2]),
    ]
    return choices[rng.integers(len(choices))]


def change_step(rng, x):
    """A change in place of a tensor of the shape of ``x``, perhaps by another, ``y``: (name, function)."""
    size = x.shape[0] if x.ndim else 1
    place = int(rng.integers(-size, size)) if size else 0
    rows = [int(i) for i in rng.integers(0, max(size, 1), 2)]
    mask = (rng.random(x.shape) < 0.5).tolist()
    number = float(rng.normal())
    last = x.shape[-1] if x.ndim else 1
    columns = [int(i) for i in rng.integers(0, max(last, 1), 2)]

    def put(x, index, value):
        x[index] = value

    choices = [
        ("add_", lambda m, x, y: x.add_(number)),
        ("mul_", lambda m, x, y: x.mul_(number)),
        ("add_ y", lambda m, x, y: x.add_(y)),
        ("mul_ y", lambda m, x, y: x.mul_(y)),
        ("sub_ y", lambda m, x, y: x.sub_(y)),
        ("tanh_", lambda m, x, y: x.tanh_()),
        ("sigmoid_", lambda m, x, y: x.sigmoid_()),
        ("sin_", lambda m, x, y: x.sin_()),
        ("neg_", lambda m, x, y: x.neg_()),
        ("clamp_", lambda m, x, y: x.clamp_(-0.5, 0.5)),
        ("zero_", lambda m, x, y: x.zero_()),
        ("fill_", lambda m, x, y: x.fill_(number)),
        ("copy_", lambda m, x, y: x.copy_(y)),
        ("masked_fill_", lambda m, x, y: x.masked_fill_(m.tensor(mask), number)),
        ("x[i] = number", lambda m, x, y: put(x, place, number)),
        ("x[i] = y", lambda m, x, y: put(x, place, y)),
        ("x[..., i:] = y", lambda m, x, y: put(x, (..., slice(columns[0], None)), y)),
        ("x[rows] = number", lambda m, x, y: put(x, m.tensor(rows), number)),
        ("x[rows] = y", lambda m, x, y: put(x, rows[:1], y)),
        ("x[..., columns] = number", lambda m, x, y: put(x, (..., columns), number)),
        ("x[mask] = number", lambda m, x, y: put(x, m.tensor(mask), number)),
        ("x[mask] += number", lambda m, x, y: put(x, m.tensor(mask), x[m.tensor(mask)] + number)),
        ("x[i] *= y", lambda m, x, y: x[place].mul_(y)),
        ("index_add_", lambda m, x, y: x.index_add_(0, m.tensor(rows), x[rows].detach() * number)),
        ("index_fill_", lambda m, x, y: x.index_fill_(0, m.tensor(rows), number)),
        ("transpose_", lambda m, x, y: x.transpose_(0, -1)),
        ("unsqueeze_", lambda m, x, y: x.unsqueeze_(0)),
        ("squeeze_", lambda m, x, y: x.squeeze_()),
        ("t_", lambda m, x, y: x.t_()),
    ]
    return choices[rng.integers(len(choices))]


def value_step(rng):
    """A new tensor from two: (name, function)."""
    number = float(rng.normal())
    choices = [
        ("x + y", lambda m, x, y: x + y),
        ("x * y", lambda m, x, y: x * y),
        ("x - y", lambda m, x, y: x - y),
        ("x * x", lambda m, x, y: x * x),
        ("x * number", lambda m, x, y: x * number),
        ("tanh", lambda m, x, y: x.tanh()),
        ("sin", lambda m, x, y: x.sin()),
        ("sum", lambda m, x, y: x.sum(0)),
        ("clone", lambda m, x, y: x.clone()),
        ("cat", lambda m, x, y: m.cat([x, y])),
        ("stack", lambda m, x, y: m.stack([x, x], -1)),
        ("where", lambda m, x, y: m.where(x > 0, x, y)),
        ("flip", lambda m, x, y: x.flip(())),
    ]
    return choices[rng.integers(len(choices))]


# Calls that PyTorch refuses and minidl carries out rightly, or refuses for a better reason; a program ends there.
ONLY_PYTORCH_REFUSES = (
    "on expanded tensors is deprecated",  # a warning; minidl refuses
    "setStorage: sizes",  # PyTorch fails inside for some empty tensors
    "some elements of the input tensor and the written-to tensor refer to a single memory location",
    "is a view and its base or another view of its base has been modified inplace",
)
# Under no_grad PyTorch leaves them with a history of another shape.
SHAPE_CHANGES = ("transpose_", "unsqueeze_", "squeeze_", "t_")


class EndOfProgramError(Exception):
    """Nothing more to compare in this program."""


class Program:
    """One random program, run in both libraries side by side."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.ours: list = []
        self.theirs: list = []
        self.leaves: list[int] = []
        self.log: list[str] = []
        for _ in range(3):
            values = self.rng.normal(size=SHAPES[self.rng.integers(len(SHAPES))])
            needs = bool(self.rng.random() < 0.7)
            self.leaves.append(len(self.ours))
            self.ours.append(minidl.tensor(values, requires_grad=needs))
            self.theirs.append(torch.tensor(values, requires_grad=needs))
            self.log.append(f"t{len(self.ours) - 1} = leaf {values.shape} requires_grad={needs}")
            if self.rng.random() < 0.8:  # something that may be changed
                self.ours.append(self.ours[-1] * 1.0)
                self.theirs.append(self.theirs[-1] * 1.0)
                self.log.append(f"t{len(self.ours) - 1} = t{len(self.ours) - 2} * 1")

    def both(self, text, function):
        """Run ``function(library, tensors)`` in both; the results, or None if both refused with one type of error."""
        self.log.append(text)
        outcomes = []
        for library, state in ((minidl, self.ours), (torch, self.theirs)):
            try:
                outcomes.append(("value", function(library, state)))
            except Exception as refusal:
                outcomes.append(("error", refusal))
        (kind, mine), (expected_kind, theirs) = outcomes
        if text == "backward" and "more than one element of the written-to" in str(theirs):
            raise EndOfProgramError  # after fill_ of an expanded tensor
        if kind == expected_kind == "error" and isinstance(mine, IndexError) and "a leaf" in str(theirs):
            return None  # wrong in two ways
        if expected_kind == "error" and any(words in str(theirs) for words in ONLY_PYTORCH_REFUSES):
            raise EndOfProgramError
        if kind != expected_kind or (kind == "error" and type(mine) is not type(theirs)):
            self.fail(f"minidl: {kind} {mine!r}\nPyTorch: {expected_kind} {theirs!r}")
        return None if kind == "error" else (mine, theirs)

    def fail(self, text):
        pytest.fail("\n".join([*self.log, text]), pytrace=False)

    def step(self):
        rng, count = self.rng, len(self.ours)
        i, j = int(rng.integers(count)), int(rng.integers(count))
        kind = rng.choice(["view", "change", "value"], p=[0.35, 0.45, 0.2])
        if kind == "view":
            name, function = view_step(rng, self.ours[i])
            self.add(self.both(f"t{count} = {name} of t{i}", lambda m, t: function(t[i])))
        elif kind == "value":
            name, function = value_step(rng)
            self.add(self.both(f"t{count} = {name}, x = t{i}, y = t{j}", lambda m, t: function(m, t[i], t[j])))
        else:
            name, function = change_step(rng, self.ours[i])
            if "y" in name and self.overlap(i, j):
                return  # PyTorch may read values that it has just written
            quiet = rng.random() < 0.1 and name not in SHAPE_CHANGES

            def change(m, t):
                with m.set_grad_enabled(not quiet):
                    function(m, t[i], t[j])

            self.both(f"{name}, x = t{i}, y = t{j}{' under no_grad' if quiet else ''}", change)

    def overlap(self, i, j):
        a, b = self.ours[i]._data, self.ours[j]._data
        same = a.ctypes.data == b.ctypes.data and a.shape == b.shape and a.strides == b.strides
        return not same and np.shares_memory(a, b)

    def add(self, pair):
        if pair is not None:
            self.ours.append(pair[0])
            self.theirs.append(pair[1])

    def compare(self):
        for i, (x, e) in enumerate(zip(self.ours, self.theirs)):
            if x.shape != tuple(e.shape):
                self.fail(f"t{i}: shape {x.shape}, PyTorch {tuple(e.shape)}")
            if not np.allclose(x._data, e.detach().numpy(), equal_nan=True, rtol=1e-9, atol=1e-9):
                self.fail(f"t{i}: {x._data}, PyTorch {e.detach().numpy()}")
            mine, theirs = self.both(f"t{i}.requires_grad", lambda m, t, i=i: t[i].requires_grad) or (0, 0)
            if mine != theirs:
                self.fail(f"t{i}: requires_grad {mine}, PyTorch {theirs}")
            with contextlib.suppress(RuntimeError):
                _ = e.grad_fn  # else PyTorch takes a view for a leaf when its base has become differentiable
            self.log.pop()

    def gradients(self):
        def backward(m, tensors):
            total = m.zeros((), dtype=m.float64)
            for t in tensors:
                if t.requires_grad and math.prod(t.shape):
                    total = total + (t * m.tensor(np.cos(np.arange(math.prod(t.shape))).reshape(t.shape))).sum()
            total.backward()
            return True

        if self.both("backward", backward) is None:
            return  # PyTorch has then added to some leaves' .grad, minidl to none
        for i in self.leaves:
            if not self.theirs[i].is_leaf:
                continue
            mine, theirs = self.ours[i].grad, self.theirs[i].grad
            if (mine is None) is not (theirs is None):
                self.fail(f"t{i}.grad: {mine}, PyTorch {theirs}")
            if mine is not None and not np.allclose(mine._data, theirs.numpy(), equal_nan=True, rtol=1e-9, atol=1e-9):
                self.fail(f"t{i}.grad: {mine._data}, PyTorch {theirs.numpy()}")


@pytest.fixture(autouse=True)
def _warn_always():
    """PyTorch gives a warning, here an error, each time and not only the first."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_random_program(seed):
    program = Program(seed)
    with contextlib.suppress(EndOfProgramError):
        for _ in range(STEPS):
            program.step()
            program.compare()
        program.gradients()


# --------------------------------------------------------------------------------------------------------- single rules

VIEWS = {
    "x[1:]": lambda x: x[1:],
    "x[0]": lambda x: x[0],
    "x[0, 1]": lambda x: x[0, 1],
    "x[None]": lambda x: x[None],
    "x[[0, 1]]": lambda x: x[[0, 1]],
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "H": lambda x: x.H,
    "mH": lambda x: x.mH,
    "t": lambda x: x.t(),
    "view": lambda x: x.view(-1),
    "reshape": lambda x: x.reshape(2, 6),
    "reshape that copies": lambda x: x.t().reshape(-1),
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "squeeze": lambda x: x[None].squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "expand": lambda x: x.expand(2, 3, 4),
    "movedim": lambda x: x.movedim(0, 1),
    "diagonal": lambda x: x.diagonal(),
    "unfold": lambda x: x.unfold(0, 2, 1),
    "narrow": lambda x: x.narrow(0, 1, 2),
    "unbind": lambda x: x.unbind()[1],
    "chunk": lambda x: x.chunk(2)[1],
    "detach": lambda x: x.detach(),
    "clone": lambda x: x.clone(),
    "contiguous": lambda x: x.t().contiguous(),
    "flip": lambda x: x.flip(0) if not isinstance(x, torch.Tensor) else x.flip((0,)),
    "repeat": lambda x: x.repeat(1, 1),
    "tril": lambda x: x.tril(),
    "cat": lambda x: minidl.cat([x]) if isinstance(x, minidl.Tensor) else torch.cat([x]),
    "to another type": lambda x: x.int(),
    "bytes": lambda x: x.view(minidl.int64 if isinstance(x, minidl.Tensor) else torch.int64),
    "smaller elements": lambda x: x.view(minidl.int16 if isinstance(x, minidl.Tensor) else torch.int16),
}


@pytest.mark.parametrize("name", VIEWS)
def test_what_shares_memory(name):
    """The same functions share memory as in PyTorch, and a change of the one is counted in the other."""
    values = np.arange(12.0).reshape(3, 4)
    x, t = minidl.tensor(values), torch.tensor(values)
    y, u = VIEWS[name](x), VIEWS[name](t)
    assert y.shape == tuple(u.shape)
    np.testing.assert_array_equal(y.numpy(), u.numpy())
    shared = np.shares_memory(y.numpy(), x.numpy())
    assert shared == (u.untyped_storage().data_ptr() == t.untyped_storage().data_ptr())
    version = y._version
    x.add_(1)
    assert (y._version > version) == shared


@pytest.mark.parametrize("ndim", [4, 5])
def test_view_copies_channels_last_memory_silently(ndim):
    """Convolutions leave their activations channels-last, and scripts call ``outputs.view(-1, features)`` on them."""
    shape = (2, *range(3, 1 + ndim), 4)
    channels_last = np.random.default_rng(0).normal(size=shape)
    x = minidl.from_numpy(np.moveaxis(channels_last, -1, 1)).requires_grad_()
    assert not x.is_contiguous()
    y = x.view(2, -1)
    np.testing.assert_array_equal(y.detach().numpy(), np.moveaxis(channels_last, -1, 1).reshape(2, -1))
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy())


def test_view_refuses_other_strides():
    x = minidl.zeros(3, 4).t()
    with pytest.raises(RuntimeError, match=r"strides \[1, 4\] cannot be seen as \[12\].*Use .reshape"):
        x.view(12)
    assert x.view(4, 1, 3).shape == (4, 1, 3)


def run_both(program):
    """``program(library)`` in both: the same result, or the same type of error."""
    outcomes = []
    for library in (minidl, torch):
        try:
            outcomes.append([v.detach().numpy() for v in program(library)])
        except Exception as refusal:
            outcomes.append(type(refusal))
    mine, theirs = outcomes
    if isinstance(mine, type) or isinstance(theirs, type):
        assert mine is theirs, outcomes
        return mine
    for a, b in zip(mine, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    return None


def leaf(m, *shape):
    return m.tensor(np.linspace(-1, 1, math.prod(shape)).reshape(shape), requires_grad=True)


def base_then_view(m):
    x = leaf(m, 3, 4)
    y = x * 1
    v, w = y[0], y[:, 1]
    y.mul_(v.detach().sum() + 2)
    w.add_(v[0])
    (v * w.sum()).sum().backward()
    return x.grad, y


def views_older_than_a_transposition(m):
    x = leaf(m, 3, 4)
    y = x * 1
    row = y[0]
    y.t_()
    row.mul_(2)
    y[1].mul_(3)
    (y * y).sum().backward()
    return x.grad, y, row


def view_of_a_view_of_a_view(m):
    x = leaf(m, 2, 6)
    y = x * 1
    z = y.view(2, 2, 3)
    a = z[1].t()
    a[0].mul_(a[1].detach().clone())
    z.mul_(2)
    (a * a).sum().backward()
    return x.grad, y


def constant_becomes_differentiable(m):
    x = leaf(m, 4)
    y = m.zeros(3, 4, dtype=m.float64)
    older = y[1]
    y[1] = x * 2
    assert y.requires_grad
    assert older.requires_grad
    (older * y.sum()).sum().backward()
    return x.grad, y


def second_order(m):
    x = leaf(m, 4)
    y = x**3
    y[:2].mul_(x[2:])
    y.exp_()
    (g,) = m.autograd.grad(y.sum(), x, create_graph=True)
    (g * g).sum().backward()
    return g, x.grad


def expanded_and_filled(m):
    x = m.zeros(3, 1)
    x.expand(3, 4).fill_(2.0)
    return (x,)


def squeezed_there_and_back(m):
    x = leaf(m, 2, 3)
    y = x * 1
    v = y[0]
    v.unsqueeze_(0).mul_(3)
    y.unsqueeze_(1).squeeze_().mul_(2)
    (y * y).sum().backward()
    return x.grad, v, y


def detached_then_changed_before_use(m):
    x = leaf(m, 3)
    y = x * 1
    y.detach().mul_(2)
    (y * y).sum().backward()
    return (x.grad,)


def data_escapes_detection(m):
    x = leaf(m, 3)
    y = x * 1
    z = y * y
    y.data.mul_(2)
    z.sum().backward()
    return (x.grad,)


def copied_over(m):
    x, w = leaf(m, 3), leaf(m, 3)
    y = x * 1
    y.copy_(w)
    y.sum().backward()
    return x.grad, w.grad


def into_integers(m):
    x = leaf(m, 3)
    y = m.zeros(3, dtype=m.int64)
    y[0] = x[2] * 5
    assert not y.requires_grad
    return (y,)


def lower_type_in_place(m):
    x = leaf(m, 3)
    y = m.zeros(3)
    y.add_(x)
    y.sum().backward()
    return x.grad, y


RIGHT = [
    base_then_view,
    views_older_than_a_transposition,
    view_of_a_view_of_a_view,
    constant_becomes_differentiable,
    second_order,
    expanded_and_filled,
    squeezed_there_and_back,
    detached_then_changed_before_use,
    data_escapes_detection,
    copied_over,
    into_integers,
    lower_type_in_place,
]


@pytest.mark.parametrize("program", RIGHT, ids=lambda p: p.__name__)
def test_program(program):
    assert run_both(program) is None


def refusals():
    """(name, program): each must raise RuntimeError in both libraries."""

    def changed(change, use=lambda y: y * y):
        def program(m):
            y = leaf(m, 3) * 1
            z = use(y)
            change(y)
            z.sum().backward()
            return (z,)

        return program

    def without_recording(m):
        x = leaf(m, 3) * 1
        with m.no_grad():
            v = x[:2]
        v.mul_(leaf(m, 2))

    def changed_result(name):
        def program(m):
            y = leaf(m, 3) * 1
            getattr(y, name)()
            y.mul_(2)
            y.sum().backward()

        return program

    def stale_part(m):
        x = leaf(m, 3, 4) * 1
        part = x.unbind()[0]
        x.mul_(2)
        part * 2

    return {
        "a leaf": lambda m: leaf(m, 3).add_(1),
        "a view of a leaf": lambda m: leaf(m, 3)[0].add_(1),
        "an assignment to a leaf": lambda m: leaf(m, 3).__setitem__(0, 1.0),
        "a leaf transposed": lambda m: leaf(m, 3, 4).t_(),
        "one of unbind": lambda m: (leaf(m, 3, 4) * 1).unbind()[0].add_(1),
        "one of split": lambda m: (leaf(m, 3, 4) * 1).split(1)[0].add_(1),
        "a view of one of chunk": lambda m: (leaf(m, 3, 4) * 1).chunk(2)[0].view(-1).add_(1),
        "one of unbind by something differentiable": lambda m: m.zeros(3).unbind()[0].add_(leaf(m, 1).sum()),
        "one of unbind after its base": stale_part,
        "expanded": lambda m: m.zeros(3, 1).expand(3, 4).add_(1),
        "expanded assignment": lambda m: m.zeros(3, 1).expand(3, 4).__setitem__(0, 1.0),
        "made under no_grad": without_recording,
        "shape grows": lambda m: m.zeros(3).add_(m.zeros(2, 3)),
        "type rises": lambda m: m.zeros(3, dtype=m.int64).add_(1.5),
        "saved input": changed(lambda y: y.add_(1)),
        "saved input through a view": changed(lambda y: y[0].add_(1)),
        "saved input through detach": changed(lambda y: y.detach().add_(1)),
        "saved output": changed_result("exp_"),
        "saved output of tanh_": changed_result("tanh_"),
        "multiplied by itself": changed(lambda y: y.mul_(y), use=lambda y: y),
        "detach_ of a view": lambda m: (leaf(m, 3) * 1)[0].detach_(),
        "requires_grad of an inner one": lambda m: setattr(leaf(m, 3) * 1, "requires_grad", False),
    }


@pytest.mark.parametrize("name", refusals())
def test_refusal(name):
    assert run_both(refusals()[name]) is RuntimeError


def test_a_leaf_may_be_changed_under_no_grad():
    x = leaf(minidl, 2, 3)
    with minidl.no_grad():
        x[0] = 5.0
        x.mul_(2)
        x.t_()
    assert x.is_leaf
    assert x.requires_grad
    assert x.shape == (3, 2)
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy())


def test_the_memory_of_a_change_in_place_is_not_kept_twice():
    """What ``exp_`` saves of its result is the changed tensor's own memory."""
    y = leaf(minidl, 3) * 1
    y.exp_()
    assert y.grad_fn._saved[0] is y._data
