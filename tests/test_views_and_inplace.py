"""Views and changes in place, against PyTorch: random programs first, then the rules one by one."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
import torch

import minidl

PROGRAMS = 400
STEPS = 12
SHAPES = [(4,), (2, 3), (3, 4), (2, 3, 2), (1, 3), ()]


# ------------------------------------------------------------------------------------------------------ random programs
#
# A step is a name, the numbers of the tensors it reads, and a function of the library and these tensors: all choices are
# made before, so that both libraries run the same program. Each new tensor joins the state.


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


class End(Exception):
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
        if expected_kind == "error" and any(words in str(theirs) for words in ONLY_PYTORCH_REFUSES):
            raise End
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
            quiet = rng.random() < 0.1 and name not in SHAPE_CHANGES

            def change(m, t):
                with m.set_grad_enabled(not quiet):
                    function(m, t[i], t[j])

            self.both(f"{name}, x = t{i}, y = t{j}{' under no_grad' if quiet else ''}", change)

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
    with contextlib.suppress(End):
        for _ in range(STEPS):
            program.step()
            program.compare()
        program.gradients()
