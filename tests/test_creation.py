"""What the table cannot say of creation: whose memory, which layout, on the tape or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl

scalars = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, width=32), st.booleans())


@st.composite
def nested(draw):
    """Nested lists of equal lengths of numbers."""
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    kind = draw(st.sampled_from([st.booleans(), st.integers(-100, 100), st.floats(-10, 10, width=32), scalars]))

    def build(sizes):
        return [build(sizes[1:]) for _ in range(sizes[0])] if sizes else draw(kind)

    return build(shape)


@given(nested())
@settings(max_examples=300, deadline=None)
def test_tensor_of_any_nested_lists_is_pytorchs(data):
    ours, theirs = minidl.tensor(data), torch.tensor(data)
    assert ours.shape == tuple(theirs.shape)
    assert str(ours.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    np.testing.assert_array_equal(ours._data, theirs.numpy())


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.arange(6, dtype=np.int16).reshape(2, 3),
        lambda: np.ones(2, np.float64),
        lambda: np.float32(1.5),
        lambda: np.int8(3),
        lambda: [np.float32(1.5), 2],
        lambda: [np.float64(1.5)],
        lambda: [np.float16(1.5)],
        lambda: [np.bool_(True)],
        lambda: [np.int32(1), np.int32(2)],
        lambda: [np.int32(1), 2],
        lambda: [2.0, np.float16(1)],
        lambda: [2, np.float16(1)],
        lambda: [np.float64(1), 2.0],
        lambda: [[2.0], [np.float64(1)]],
        lambda: [np.uint8(1), np.int8(-1)],
        lambda: np.asfortranarray(np.ones((2, 3), np.float32)),
    ],
)
@pytest.mark.filterwarnings("ignore:Creating a tensor from a list")
def test_numpys_values_keep_their_type(make):
    ours, theirs = minidl.tensor(make()), torch.tensor(make())
    assert str(ours.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    np.testing.assert_array_equal(ours._data, theirs.numpy())


def test_tensor_copies():
    array = np.zeros(3)
    t = minidl.tensor(array)
    array[0] = 1
    assert t.tolist() == [0, 0, 0]
    u = minidl.tensor(t)
    u.fill_(5)
    assert t.tolist() == [0, 0, 0]


def test_tensor_of_a_tensor_is_a_leaf():
    x = minidl.ones(2, requires_grad=True)
    y = minidl.tensor(x * 2)
    assert y.is_leaf
    assert not y.requires_grad
    assert minidl.tensor(x, requires_grad=True, dtype=minidl.float64).dtype is minidl.float64
    assert minidl.tensor([x.detach()[0], 2.0]).tolist() == [1, 2]
    assert minidl.tensor([x[0], 2.0]).tolist() == [1, 2]
    assert minidl.tensor([[minidl.tensor([3])], [minidl.tensor(4)]]).tolist() in ([[3], [4]], [[[3]], [[4]]])


def test_as_tensor_shares_where_it_can():
    array = np.zeros(3, np.float32)
    t = minidl.as_tensor(array)
    array[0] = 1
    assert t.tolist() == [1, 0, 0]
    assert minidl.as_tensor(t) is t
    assert minidl.as_tensor(t, dtype=minidl.float32) is t
    assert minidl.as_tensor(t, dtype=minidl.float64) is not t
    x = minidl.ones(2, requires_grad=True)
    assert minidl.as_tensor(x, dtype=minidl.float64).requires_grad, "stays on the tape"


def test_asarray():
    array = np.zeros(3, np.float32)
    assert np.shares_memory(minidl.asarray(array)._data, array)
    assert np.shares_memory(minidl.asarray(array, copy=False)._data, array)
    assert not np.shares_memory(minidl.asarray(array, copy=True)._data, array)
    with pytest.raises(ValueError, match="needs a copy"):
        minidl.asarray([1.0], copy=False)
    with pytest.raises(ValueError, match="needs a copy"):
        minidl.asarray(array, dtype=minidl.float64, copy=False)
    x = minidl.ones(2, requires_grad=True)
    for library, leaf in ((minidl, x), (torch, torch.ones(2, requires_grad=True))):
        assert not library.asarray(leaf, requires_grad=False).requires_grad
        assert library.asarray(leaf, requires_grad=True).requires_grad
        assert library.asarray([1.0], requires_grad=True).requires_grad
    assert minidl.asarray(x) is x


def test_from_numpy_shares_memory_and_says_what_it_cannot_take():
    array = np.zeros((2, 3))
    t = minidl.from_numpy(array.T)
    t[0, 1] = 7
    assert array[1, 0] == 7
    for library in (minidl, torch):
        with pytest.raises(TypeError, match=r"expected np.ndarray \(got list\)"):
            library.from_numpy([1])
        for make in (library.from_numpy, library.tensor, library.as_tensor):
            with pytest.raises(ValueError, match="negative"):
                make(np.zeros(3)[::-1])
        with pytest.raises(TypeError, match=r"numpy\.str_|<U1"):
            library.from_numpy(np.array(["a"]))
        for make in (library.from_numpy, library.tensor, library.as_tensor):
            with pytest.raises(ValueError, match="byte order"):
                make(np.zeros(2, ">f8"))
    with pytest.raises(TypeError, match="complex128"):
        minidl.from_numpy(np.zeros(2, complex))


@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "empty_like"])
def test_like_keeps_the_order_of_the_axes_in_memory(name):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2, 3, 4, 5))
    for view in (
        base,
        base.T,
        base.transpose(0, 2, 3, 1),
        base[::2, :, 1:],
        base.transpose(2, 0, 1, 3)[:, 1:],
    ):
        theirs = torch.from_numpy(base).as_strided(view.shape, [s // 8 for s in view.strides])
        assert getattr(minidl, name)(minidl.from_numpy(view)).stride() == getattr(torch, name)(theirs).stride()


def test_requires_grad():
    for made in (
        minidl.tensor([1.0], requires_grad=True),
        minidl.zeros(1, requires_grad=True),
        minidl.full((1,), 2.0, requires_grad=True),
        minidl.rand(1, requires_grad=True),
        minidl.arange(3.0, requires_grad=True),
        minidl.linspace(0, 1, 3, requires_grad=True),
        minidl.eye(2, requires_grad=True),
        minidl.ones(2).new_ones(3, requires_grad=True),
        minidl.zeros_like(minidl.ones(2), requires_grad=True),
        minidl.normal(0.0, 1.0, (2,), requires_grad=True),
    ):
        assert made.requires_grad
        assert made.is_leaf
    with pytest.raises(RuntimeError, match="floating point"):
        minidl.zeros(1, dtype=int, requires_grad=True)


def test_python_and_numpy_types_as_dtype():
    for dtype, expected in (
        (float, "float64"),
        (int, "int64"),
        (bool, "bool"),
        (np.float16, "float16"),
        ("int8", "int8"),
    ):
        assert str(minidl.zeros(1, dtype=dtype).dtype) == f"minidl.{expected}"
    with pytest.raises(TypeError):
        minidl.zeros(1, dtype="nothing")
    with pytest.raises(TypeError, match="minidl has no element type"):
        minidl.zeros(1, dtype=complex)


@pytest.fixture
def double():
    minidl.set_default_dtype(minidl.float64)
    torch.set_default_dtype(torch.float64)
    yield
    minidl.set_default_dtype(minidl.float32)
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
def test_the_default_type_is_that_of_new_tensors():
    assert minidl.get_default_dtype() is minidl.float64
    for library in (minidl, torch):
        for made in (
            library.tensor(1.5),
            library.tensor([1.5, 2]),
            library.zeros(2),
            library.full((2,), 1.5),
            library.arange(0.0, 2.0),
            library.linspace(0, 1, 3),
            library.rand(2),
            library.randn(2),
            library.eye(2),
            library.scalar_tensor(2),
        ):
            assert str(made.dtype).endswith("float64")
        assert str(library.tensor([1, 2]).dtype).endswith("int64")


def test_only_floating_types_can_be_the_default():
    with pytest.raises(TypeError, match="only floating-point types"):
        minidl.set_default_dtype(minidl.int64)


def test_a_device_that_is_not_there():
    if minidl.cuda.is_available():
        assert minidl.zeros(2, device="cuda").is_cuda
        return
    for make in (lambda: minidl.zeros(2, device="cuda"), lambda: minidl.tensor([1], device="cuda:0")):
        with pytest.raises(RuntimeError, match="device 'cuda"):
            make()
    with pytest.raises(RuntimeError, match="device must be"):
        minidl.zeros(2, device="moon")


def test_names_of_the_package():
    assert minidl.float is minidl.float32
    assert minidl.double is minidl.float64
    assert minidl.half is minidl.float16
    assert minidl.long is minidl.int64
    assert minidl.int is minidl.int32
    assert minidl.short is minidl.int16
    assert str(minidl.bfloat16) == "minidl.bfloat16"
    assert (minidl.pi, minidl.e, minidl.inf, minidl.newaxis) == (np.pi, np.e, np.inf, None)
    assert np.isnan(minidl.nan)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = minidl.nothing
    assert minidl.cuda.device_count() >= 0


@pytest.mark.parametrize("a", ["uint8", "int64", "float16", "float32", "bool"])
@pytest.mark.parametrize("b", ["uint8", "int32", "float16", "float64", "bool"])
def test_result_type_and_can_cast(a, b):
    for first in (lambda lib: lib.ones(2, dtype=getattr(lib, a)), lambda lib: lib.ones((), dtype=getattr(lib, a))):
        for second in (
            lambda lib: lib.ones(2, dtype=getattr(lib, b)),
            lambda lib: 2,
            lambda lib: 2.5,
            lambda lib: True,
        ):
            ours = minidl.result_type(first(minidl), second(minidl))
            theirs = torch.result_type(first(torch), second(torch))
            assert str(ours).rpartition(".")[2] == str(theirs).rpartition(".")[2]
    assert minidl.can_cast(getattr(minidl, a), getattr(minidl, b)) == torch.can_cast(
        getattr(torch, a), getattr(torch, b)
    )
    ours = minidl.promote_types(getattr(minidl, a), getattr(minidl, b))
    assert (
        str(ours).rpartition(".")[2]
        == str(torch.promote_types(getattr(torch, a), getattr(torch, b))).rpartition(".")[2]
    )
