"""What a tensor is beside its operators."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

import minidl
from minidl.tensor import wrap

BOTH = pytest.mark.parametrize("library", [minidl, torch], ids=["minidl", "torch"])


# -------------------------------------------------------------------------------------------------- numbers and arrays


@BOTH
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_item_and_numbers(library):
    assert library.tensor(2.5).item() == 2.5
    assert isinstance(library.tensor([[3]]).item(), int)
    assert library.tensor(True).item() is True
    assert library.tensor(1.5, dtype=library.bfloat16).item() == 1.5
    x = library.tensor([2.75], requires_grad=True)
    assert (float(x), int(x), bool(x), complex(x)) == (2.75, 2, True, 2.75 + 0j)
    assert [10, 20, 30][library.tensor(1)] == 20
    assert range(9)[library.tensor([2])] == 2
    assert math.isclose(math.sqrt(library.tensor(4.0)), 2)
    assert not library.tensor(0)
    assert library.is_nonzero(library.tensor([5]))
    assert library.tensor([0]).is_nonzero() is False


@BOTH
def test_several_values_are_no_number(library):
    for shape in ((2,), (0,)):
        with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
            library.ones(shape).item()
        for convert in (float, int, complex):
            with pytest.raises(ValueError, match="only one element tensors can be converted"):
                convert(library.ones(shape))
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        bool(library.ones(2))
    with pytest.raises(RuntimeError, match="no values is ambiguous"):
        bool(library.ones(0))
    for wrong in (library.ones(2, dtype=library.int64), library.tensor(1.0)):
        with pytest.raises(TypeError, match="only integer tensors of a single element can be converted to an index"):
            [1, 2, 3][wrong]


@BOTH
def test_tolist(library):
    assert library.tensor(2.5).tolist() == 2.5
    assert library.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert library.zeros(2, 0).tolist() == [[], []]
    assert library.tensor([True]).tolist() == [True]
    assert library.tensor([0.5], requires_grad=True).tolist() == [0.5]
    assert library.tensor([1.5, 2], dtype=library.bfloat16).tolist() == [1.5, 2.0]
    assert type(library.tensor([1.5]).tolist()[0]) is float


@BOTH
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
def test_numpy_shares_memory(library):
    t = library.zeros(3)
    t.numpy()[0] = 1
    np.asarray(t)[1] = 2
    assert t.tolist() == [1, 2, 0]
    assert np.asarray(t, dtype=np.int32).dtype == np.int32
    copied = np.array(t)
    copied[0] = 9
    assert t.tolist() == [1, 2, 0]
    assert np.stack([t, t]).shape == (2, 3)
    x = library.ones(2, requires_grad=True)
    for convert in (lambda: x.numpy(), lambda: np.asarray(x)):
        with pytest.raises(RuntimeError, match="requires grad"):
            convert()
    assert x.numpy(force=True).tolist() == [1, 1]
    assert x.detach().numpy().tolist() == [1, 1]


@BOTH
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context")
def test_numpys_functions_of_a_tensor(library):
    t = library.tensor([1.0, 4.0])
    assert isinstance(np.sqrt(t), library.Tensor)
    assert np.sqrt(t).tolist() == [1, 2]


def test_numpys_operators_step_back():
    t = minidl.tensor([1.0, 4.0])
    assert isinstance(np.ones(2, np.float32) * t, minidl.Tensor)
    assert isinstance(t - np.ones(2, np.float32), minidl.Tensor)
    assert (np.float64(2) * t).tolist() == [2, 8]


# --------------------------------------------------------------------------------------------------- a sequence of rows


@BOTH
def test_length_and_iteration(library):
    t = library.arange(6).reshape(3, 2)
    assert len(t) == 3
    assert [row.tolist() for row in t] == [[0, 1], [2, 3], [4, 5]]
    _, middle, _ = t
    assert middle.tolist() == [2, 3]
    assert [x.item() for x in library.arange(3)] == [0, 1, 2]
    assert list(library.zeros(0, 2)) == []
    scalar = library.tensor(1)
    with pytest.raises(TypeError, match=r"len\(\) of a 0-d tensor"):
        len(scalar)
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(scalar)


def test_iteration_is_on_the_tape():
    x = minidl.arange(6.0).reshape(3, 2).requires_grad_()
    total = sum((row * float(i) for i, row in enumerate(x)), minidl.zeros(2))
    total.sum().backward()
    assert x.grad.tolist() == [[0, 0], [1, 1], [2, 2]]


@BOTH
def test_contains(library):
    t = library.tensor([[1.0, 2.0], [3.0, float("nan")]])
    assert 2 in t
    assert 5 not in t
    assert library.tensor(3.0) in t
    assert library.tensor([1.0, 9.0]) in t
    assert float("nan") not in t
    with pytest.raises(RuntimeError, match=r"Tensor\.__contains__ only supports Tensor or scalar"):
        _ = "a" in t


@BOTH
def test_reversed(library):
    assert reversed(library.arange(3)).tolist() == [2, 1, 0]
    assert reversed(library.tensor(3)).item() == 3


@BOTH
def test_plus(library):
    t = library.ones(2)
    assert +t is t or (+t).tolist() == t.tolist()


# ---------------------------------------------------------------------------------------------------------- shape, type


@BOTH
def test_sizes(library):
    t = library.zeros(2, 3, 4)
    assert tuple(t.size()) == tuple(t.shape) == (2, 3, 4)
    assert (t.size(0), t.size(-1), t.size(dim=1)) == (2, 4, 3)
    assert t.dim() == t.ndimension() == t.ndim == 3
    assert t.numel() == t.nelement() == library.numel(t) == 24
    assert (t.element_size(), t.itemsize, t.nbytes) == (4, 4, 96)
    for dim in (3, -4):
        with pytest.raises(IndexError, match="Dimension out of range"):
            t.size(dim)
        with pytest.raises(IndexError, match="Dimension out of range"):
            t.stride(dim)
    for dim in (0, 1):
        with pytest.raises(IndexError):
            library.tensor(1).size(dim)
        with pytest.raises(IndexError):
            library.tensor(1).stride(dim)
    assert t.is_same_size(library.ones(2, 3, 4))
    assert not t.is_same_size(library.ones(2, 3))


@BOTH
def test_memory(library):
    t = library.zeros(4, 6)
    assert t.stride() == (6, 1)
    assert t.T.stride() == (1, 6)
    assert t[1::2, ::3].stride() == (12, 3)
    empty = [library.zeros(shape).stride() for shape in ((3, 0), (0, 3), (2, 0, 4), (0,))]
    assert empty == [(1, 1), (3, 1), (4, 4, 1), (1,)]
    assert t.stride(-1) == 1
    assert t[1::2, 1::3].storage_offset() == 7
    assert t.storage_offset() == 0
    assert t[0].data_ptr() == t.data_ptr()
    assert t[0, 1].data_ptr() == t.data_ptr() + 4
    assert t.is_contiguous()
    assert t[1:].is_contiguous()
    assert not t.T.is_contiguous()
    assert not t[:, 1:].is_contiguous()


@BOTH
def test_questions(library):
    f, i = library.zeros(1), library.zeros(1, dtype=library.int64)
    assert f.is_floating_point()
    assert not i.is_floating_point()
    assert library.is_floating_point(f)
    assert not library.is_complex(f)
    assert not f.is_complex()
    assert f.is_signed()
    assert not i.to(library.uint8).is_signed()
    assert library.is_tensor(f)
    assert not library.is_tensor([1])
    assert f.get_device() == -1
    assert f.is_cpu
    assert not f.is_cuda
    assert f.output_nr == 0
    with pytest.raises(TypeError, match="must be Tensor"):
        library.is_floating_point(3)
    with pytest.raises(TypeError, match="must be Tensor"):
        library.numel([3])


def test_types_by_their_old_names():
    for name in ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"):
        ours = minidl.zeros(1, dtype=getattr(minidl, name))
        theirs = torch.zeros(1, dtype=getattr(torch, name))
        assert ours.type() == theirs.type().replace("torch.", "minidl.")
        assert minidl.zeros(1).type(ours.type()).dtype is ours.dtype
        assert minidl.zeros(1).type(ours.dtype).dtype is ours.dtype
    for library in (minidl, torch):
        with pytest.raises(ValueError, match="invalid type: 'nothing'"):
            library.zeros(1).type("nothing")


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("half", "float16"),
        ("bfloat16", "bfloat16"),
        ("float", "float32"),
        ("double", "float64"),
        ("byte", "uint8"),
        ("char", "int8"),
        ("short", "int16"),
        ("int", "int32"),
        ("long", "int64"),
        ("bool", "bool"),
    ],
)
def test_conversions_by_name(method, name):
    assert getattr(minidl.tensor([1, 2]), method)().dtype is getattr(minidl, name)


# ------------------------------------------------------------------------------------------------- data, grad, the tape


@BOTH
def test_data(library):
    x = library.ones(2, requires_grad=True)
    assert not x.data.requires_grad
    x.data.mul_(3)
    assert x.tolist() == [3, 3]
    x.data = library.zeros(3)
    assert x.tolist() == [0, 0, 0]
    assert x.requires_grad
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got int"):
        x.data = 3


@BOTH
def test_grad_can_be_set_and_is_checked(library):
    x = library.ones(2, requires_grad=True)
    x.grad = library.ones(2)
    assert x.grad.tolist() == [1, 1]
    x.grad = None
    assert x.grad is None
    x.grad = library.ones(2)
    del x.grad
    assert x.grad is None
    with pytest.raises(TypeError, match="assigned grad expected to be a Tensor or None but got grad of type"):
        x.grad = 3
    with pytest.raises(RuntimeError, match="attempting to assign a gradient of size"):
        x.grad = library.ones(3)
    with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype"):
        x.grad = library.ones(2, dtype=library.float64)


@BOTH
def test_requires_grad_is_for_floating_leaves(library):
    with pytest.raises(RuntimeError, match="floating point"):
        library.ones(2, dtype=library.int64).requires_grad_()
    y = library.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="you can only change requires_grad"):
        y.requires_grad = False
    assert library.ones(1).requires_grad_().requires_grad_(False).requires_grad is False


@BOTH
def test_detach_in_place(library):
    x = library.ones(2, requires_grad=True)
    y = x * 2
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad
    view = (x * 2)[0]
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        view.detach_()


@BOTH
def test_retains_grad(library):
    x = library.ones(2, requires_grad=True)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    assert y.retains_grad
    assert not x.retains_grad


# --------------------------------------------------------------------------------------------------------------- copies


@BOTH
def test_deepcopy(library):
    x = library.ones(2, 3, requires_grad=True)
    x.grad = library.zeros(2, 3)
    twin = copy.deepcopy(x)
    assert twin.requires_grad
    assert twin.is_leaf
    with library.no_grad():
        twin.fill_(5)
    twin.grad.fill_(7)
    assert x.tolist() == [[1, 1, 1]] * 2
    assert x.grad.tolist() == [[0, 0, 0]] * 2
    first, second = copy.deepcopy([x, x])
    assert first is second, "one tensor stays one"
    assert copy.deepcopy(library.zeros(2, 3).T).stride() == (1, 3)
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(x * 2)


@BOTH
def test_a_shallow_copy_shares_memory(library):
    x = library.ones(2)
    y = copy.copy(x)
    y.fill_(3)
    assert x.tolist() == [3, 3]


@BOTH
def test_pickling(library):
    for t in (
        library.tensor([1.5, 2.5], requires_grad=True),
        library.tensor([[1, 2]]).T,
        library.tensor(True),
        library.tensor([1.5], dtype=library.bfloat16),
    ):
        twin = pickle.loads(pickle.dumps(t))
        assert twin.tolist() == t.tolist()
        assert twin.dtype is t.dtype
        assert twin.requires_grad == t.requires_grad


def test_attributes_and_subclasses_are_copied():
    class Named(minidl.Tensor):
        pass

    x = Named([1.0, 2.0])
    x.name = ["weight"]
    twin = copy.deepcopy(x)
    assert isinstance(twin, Named)
    assert twin.name == ["weight"]
    assert twin.name is not x.name


def test_tensors_are_hashed_by_identity():
    a, b = minidl.ones(1), minidl.ones(1)
    assert len({a, b, a}) == 2
    assert wrap(a._data) not in {a}
