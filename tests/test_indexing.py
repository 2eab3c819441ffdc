"""``x[...]``, ``x[...] = value``, iteration and ``in``, against PyTorch: random index tuples first, then the rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl

# An index is drawn as a description, a list of (kind, content), from which each library gets its own.
shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@st.composite
def indices(draw, shape):
    """Random parts of an index into ``shape``, mostly legal ones."""
    parts: list = []
    axis = 0
    ellipsis_used = False
    common = draw(st.sampled_from([(2,), (1, 2), (3,), ()]))
    while axis < len(shape) and draw(st.integers(0, 9)):
        size = shape[axis]
        kind = draw(
            st.sampled_from(["int", "slice", "slice", "none", "ellipsis", "list", "array", "mask", "bool", "0-d"])
        )
        if kind == "int" and size:
            parts.append(("plain", draw(st.integers(-size, size - 1))))
            axis += 1
        elif kind == "slice":
            bound = st.none() | st.integers(-5, 5)
            parts.append(("plain", slice(draw(bound), draw(bound), draw(st.none() | st.integers(1, 3)))))
            axis += 1
        elif kind == "none":
            parts.append(("plain", None))
        elif kind == "ellipsis" and not ellipsis_used:
            parts.append(("plain", Ellipsis))
            ellipsis_used = True
            axis += draw(st.integers(0, len(shape) - axis))
            axis = len(shape) if draw(st.booleans()) else axis
        elif kind == "list" and size:
            parts.append(("plain", draw(st.lists(st.integers(-size, size - 1), min_size=1, max_size=1))))
            axis += 1
        elif kind == "array" and size:
            n = int(np.prod(common))
            flat = draw(st.lists(st.integers(-size, size - 1), min_size=n, max_size=n))
            parts.append(("tensor", np.array(flat, dtype=np.int64).reshape(common)))
            axis += 1
        elif kind == "0-d" and size:
            parts.append(("tensor", np.array(draw(st.integers(-size, size - 1)))))
            axis += 1
        elif kind == "mask":
            ndim = draw(st.integers(1, min(2, len(shape) - axis)))
            part = shape[axis : axis + ndim]
            flat = draw(st.lists(st.booleans(), min_size=int(np.prod(part)), max_size=int(np.prod(part))))
            parts.append(("tensor", np.array(flat, dtype=bool).reshape(part)))
            axis += ndim
        elif kind == "bool":
            parts.append(("plain", draw(st.booleans())))
    if draw(st.integers(0, 19)) == 0:  # one too many, perhaps
        parts.append(("plain", draw(st.integers(-6, 6))))
    return parts


def index_for(library, parts):
    return tuple(library.tensor(content) if kind == "tensor" else content for kind, content in parts)


@st.composite
def cases(draw):
    shape = draw(shapes)
    return shape, draw(indices(shape))


def run(function):
    """The result, or the type of the error."""
    try:
        return function()
    except Exception as refusal:
        return type(refusal)


def both_tensors(shape):
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape) + 1
    return minidl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)


def same(mine, theirs):
    assert isinstance(mine, minidl.Tensor), f"minidl: {mine}, PyTorch: {theirs}"
    assert mine.shape == tuple(theirs.shape)
    np.testing.assert_array_equal(mine.detach().numpy(), theirs.detach().numpy())


@settings(max_examples=600, deadline=None, derandomize=True)
@given(cases())
def test_random_reads(case):
    """Values, gradients, whether the result is a view, or the type of the error."""
    shape, parts = case
    x, t = both_tensors(shape)
    mine, theirs = run(lambda: x[index_for(minidl, parts)]), run(lambda: t[index_for(torch, parts)])
    if isinstance(theirs, type):
        assert mine is theirs
        return
    same(mine, theirs)
    if theirs.numel():
        assert np.shares_memory(mine._data, x._data) == theirs._is_view()
    (mine * mine).sum().backward()
    (theirs * theirs).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), t.grad.numpy())


@settings(max_examples=600, deadline=None, derandomize=True)
@given(cases(), st.sampled_from(["number", "0-d", "full", "last", "ones in front", "wrong"]), st.data())
def test_random_writes(case, how, data):
    """The changed values and the gradients of both sides, or the type of the error."""
    shape, parts = case
    x, t = both_tensors(shape)
    region = run(lambda: t[index_for(torch, parts)])
    target = () if isinstance(region, type) else tuple(region.shape)
    value_shape = {
        "number": None,
        "0-d": (),
        "full": target,
        "last": target[-1:],
        "ones in front": (1, 1, *target),
        "wrong": (*target, 7),
    }[how]
    # PyTorch does not say which of two values for one place wins.
    if value_shape and any(kind == "tensor" and content.dtype != bool and content.ndim for kind, content in parts):
        value_shape = ()
    y, u = x * 1, t * 1
    if value_shape is None:
        v = w = 2.5
    else:
        values = np.linspace(1, 2, int(np.prod(value_shape))).reshape(value_shape)
        v, w = minidl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)

    def write(tensor, library, value):
        tensor[index_for(library, parts)] = value
        return tensor

    mine, theirs = run(lambda: write(y, minidl, v)), run(lambda: write(u, torch, w))
    if isinstance(region, type):  # what cannot be read; PyTorch does not look when nothing would be written
        assert mine is region
        return
    if isinstance(theirs, type):
        assert mine is theirs
        return
    same(mine, theirs)
    (mine * mine).sum().backward()
    (theirs * theirs).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), t.grad.numpy())
    if value_shape is not None:
        expected = np.zeros(value_shape) if w.grad is None else w.grad.numpy()
        np.testing.assert_allclose(np.zeros(value_shape) if v.grad is None else v.grad.numpy(), expected, rtol=1e-12)


READS = [
    ("one list", lambda m, x: x[[0, 2]]),
    ("NumPy array", lambda m, x: x[np.array([2, 0])]),
    ("NumPy mask", lambda m, x: x[np.array([True, False, True])]),
    ("list of booleans", lambda m, x: x[[True, False, True]]),
    ("NumPy integer", lambda m, x: x[np.int64(1)]),
    ("0-d tensor", lambda m, x: x[m.tensor(1)]),
    ("0-d tensors in a slice", lambda m, x: x[m.tensor(0) : m.tensor(2)]),
    ("range", lambda m, x: x[list(range(2))]),
    ("empty list", lambda m, x: x[[]]),
    ("int32", lambda m, x: x[m.tensor([0, 1], dtype=m.int32)]),
    ("integer and array apart", lambda m, x: x[0, :, [1, 2]]),
    ("arrays apart", lambda m, x: x[[0, 1], :, [1, 2]]),
    ("arrays together", lambda m, x: x[:, [0, 1], [1, 2]]),
    ("broadcast arrays", lambda m, x: x[m.tensor([[0], [1]]), m.tensor([1, 2, 3])]),
    ("mask of two dimensions", lambda m, x: x[:, m.ones(4, 5) > 0]),
    ("mask of everything", lambda m, x: x[x > 10]),
    ("mask and integer", lambda m, x: x[m.tensor([True, False, True]), 1]),
    ("None and array", lambda m, x: x[:, None, [1, 2]]),
    ("True", lambda m, x: x[True]),
    ("False", lambda m, x: x[False]),
    ("nothing", lambda m, x: x[()]),
    ("last of each", lambda m, x: x[..., -1]),
    ("more ellipses", lambda m, x: x[..., 0, ...]),
]


@pytest.mark.parametrize(("name", "read"), READS, ids=[name for name, _ in READS])
def test_reads(name, read):
    x, t = both_tensors((3, 4, 5))
    mine, theirs = read(minidl, x), read(torch, t)
    same(mine, theirs)
    mine.sum().backward()
    theirs.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), t.grad.numpy())


@pytest.mark.parametrize(("index", "array"), [([[0, 1], [2, 0]], [[0, 1], [2, 0]]), ("0-d tensors", [1, 0])])
def test_a_nested_list_is_one_array(index, array):
    """As in NumPy; PyTorch warns that it still takes the list for a tuple and will change that."""
    x, t = both_tensors((3, 4, 5))
    index = [minidl.tensor(i) for i in array] if index == "0-d tensors" else index
    same(x[index], t[torch.tensor(array)])


ERRORS = [
    ("out of range", lambda m, x: x[5], "index 5 is out of bounds for dimension 0 with size 3"),
    ("out of range, second", lambda m, x: x[0, -5], "index -5 is out of bounds for dimension 1 with size 4"),
    ("array out of range", lambda m, x: x[[0, 3]], "index 3 is out of bounds for dimension 0 with size 3"),
    ("too many", lambda m, x: x[0, 0, 0], "too many indices for tensor of dimension 2"),
    ("0-d", lambda m, x: x.sum()[0], "invalid index of a 0-dim tensor"),
    ("float", lambda m, x: x[1.5], "only integers, slices"),
    ("float tensor", lambda m, x: x[m.tensor([1.0])], "must be long, int, byte or bool"),
    ("int8 tensor", lambda m, x: x[m.tensor([1], dtype=m.int8)], "must be long, int, byte or bool"),
    ("text", lambda m, x: x["a"], "str"),
    ("negative step", lambda m, x: x[::-1], "greater than zero"),
    ("step 0", lambda m, x: x[::0], "step"),
    ("mask's shape", lambda m, x: x[m.tensor([True, False])], r"The shape of the mask \[2\] at index 0"),
    ("shapes", lambda m, x: x[[0, 1], [0, 1, 2]], r"could not be broadcast together with shapes \[2\], \[3\]"),
    ("length", lambda m, x: len(x.sum()), "len"),
    ("iteration", lambda m, x: list(x.sum()), "0-d"),
    ("assigned list", lambda m, x: x.__setitem__(0, [1, 2, 3, 4]), "can't assign a list"),
    ("assigned text", lambda m, x: x.__setitem__(0, "a"), "can't assign a str"),
    ("assigned None", lambda m, x: x.__setitem__(0, None), "can't assign a NoneType"),
    ("assigned shape", lambda m, x: x.detach().__setitem__(0, m.ones(3)), r"\[3\]"),
    ("assigned shape by array", lambda m, x: x.detach().__setitem__([0, 1], m.ones(3, 4).double()), r"\[3, 4\]"),
    ("assigned dtype by array", lambda m, x: x.detach().__setitem__([0, 1], m.ones(4, dtype=m.int64)), "dtypes match"),
    ("a leaf", lambda m, x: x.__setitem__(0, 1.0), "leaf"),
]


@pytest.mark.parametrize(("name", "call", "words"), ERRORS, ids=[name for name, _, _ in ERRORS])
def test_errors(name, call, words):
    x, t = both_tensors((3, 4))
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - its type is what is compared
        call(torch, t)
    with pytest.raises(theirs.type, match=words):
        call(minidl, x)


def test_augmented_assignment_through_an_index():
    def run(m, values):
        x = m.tensor(values, requires_grad=True)
        y = x * 1
        y[y > 3] += 1
        y[0] *= 2
        y[:, [0, 2]] -= y[:, [1, 1]]
        y[m.tensor([2, 0]), m.tensor([1, 1])] = y[1, :2] * 3
        y.sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    values = np.arange(12.0).reshape(3, 4)
    for mine, theirs in zip(run(minidl, values), run(torch, values)):
        np.testing.assert_array_equal(mine, theirs)


def test_iteration_gives_views_of_the_rows():
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    rows = list(x)
    assert len(x) == len(rows) == 2
    assert all(np.shares_memory(row._data, x._data) for row in rows)
    (rows[1] * 3).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [3.0, 3.0]]
    first, second = x
    assert first.tolist() == [1.0, 2.0]
    assert second.tolist() == [3.0, 4.0]


def test_contains_compares_elements():
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert 3 in x
    assert 5 not in x
    assert minidl.tensor(2.0) in x
    with pytest.raises(RuntimeError, match="only supports Tensor or scalar"):
        "a" in x  # noqa: B015


@pytest.mark.parametrize("width", [1, 17, 200])
def test_gradients_of_rows_taken_many_times_are_the_same_bits_every_time(width):
    rng = np.random.default_rng(0)
    where = minidl.tensor(rng.integers(-20, 20, 3000))
    values = rng.normal(size=(3000, width)).astype(np.float32)
    expected = np.zeros((20, width))
    np.add.at(expected, where.numpy(), values)
    results = []
    for _ in range(3):
        x = minidl.zeros(20, width, requires_grad=True)
        (x[where] * minidl.tensor(values)).sum().backward()
        results.append(x.grad.numpy())
    np.testing.assert_allclose(results[0], expected, rtol=1e-4, atol=1e-4)
    assert all(r.tobytes() == results[0].tobytes() for r in results)
