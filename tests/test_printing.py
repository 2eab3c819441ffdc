"""Tensors print as PyTorch's do, character by character."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl import printing
from minidl.tensor import wrap


def as_ours(text):
    """PyTorch's text with minidl's name for types."""
    return text.replace("torch.", "minidl.")


def assert_alike(array, **options):
    """Compared on lines so long that the longer name of a type does not break another line."""
    width = {"linewidth": 200} if array.dtype.kind in "fiu" and array.dtype not in (np.float32, np.int64) else {}
    try:
        torch.set_printoptions(**{**width, **options})
        with printing.printoptions(**{**width, **options}):
            assert repr(wrap(array)) == as_ours(repr(torch.from_numpy(array.copy())))
    finally:
        torch.set_printoptions(profile="default")


KINDS = {
    "plain": lambda rng, shape: rng.standard_normal(shape),
    "whole": lambda rng, shape: np.round(rng.standard_normal(shape) * 10),
    "one scale": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 10),
    "many scales": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 5, shape),
    "not finite": lambda rng, shape: np.where(
        rng.random(shape) < 0.3, rng.choice([np.nan, np.inf, -np.inf, 0, -0.0], shape), rng.standard_normal(shape)
    ),
    "equal": lambda rng, shape: np.full(shape, rng.choice([np.nan, np.inf, 0, 1, -2, 1e9, 1e-9, 0.5])),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_random_tensors(kind, dtype):
    rng = np.random.default_rng(sum(map(ord, kind + dtype)))
    for _ in range(10):
        ndim = int(rng.integers(0, 5))
        shape = tuple(int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 40 if ndim < 3 else 7, ndim))
        with np.errstate(all="ignore"):
            array = np.asarray(KINDS[kind](rng, shape)).astype(dtype)
        assert_alike(array)


OPTIONS = [
    {"precision": 2},
    {"precision": 8},
    {"threshold": 10},
    {"threshold": 10, "edgeitems": 1},
    {"threshold": 0, "edgeitems": 2},
    {"linewidth": 40},
    {"linewidth": 10},
    {"sci_mode": True},
    {"sci_mode": False},
    {"profile": "short"},
    {"profile": "full"},
    {"profile": "default", "precision": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    rng = np.random.default_rng(0)
    for kind in KINDS.values():
        for shape in [(), (5,), (60,), (4, 3), (2, 30, 4), (11, 11, 11)]:
            with np.errstate(all="ignore"):
                assert_alike(np.asarray(kind(rng, shape)).astype(np.float32), **options)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (1, 0, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_nothing_to_show(shape, dtype):
    assert_alike(np.zeros(shape, dtype))


def test_place_on_the_tape():
    for library in (minidl, torch):
        x = library.ones(2, requires_grad=True)
        assert repr(x) == "tensor([1., 1.], requires_grad=True)"
        assert repr(x.detach()) == "tensor([1., 1.])"
    y = minidl.ones(2, requires_grad=True) * 2
    assert repr(y) == "tensor([2., 2.], grad_fn=<Mul>)"
    assert str(y) == repr(y)
    long = torch.zeros(3, 15, requires_grad=True)
    assert "\n" in repr(long).rpartition("]")[2], "a note on a line of its own"
    assert repr(minidl.zeros(3, 15, requires_grad=True)) == repr(long)
    long_row = minidl.rand(8, requires_grad=True)
    assert repr(long_row) == repr(torch.tensor(long_row.tolist(), requires_grad=True))


def test_bfloat16():
    for values in ([1.5, 2.0], [1.0, 3.0], [1e-6, 1.0], 0.1):
        ours = minidl.tensor(values, dtype=minidl.bfloat16)
        assert repr(ours) == as_ours(repr(torch.tensor(values, dtype=torch.bfloat16)))


def test_the_default_type_is_not_named():
    minidl.set_default_dtype(minidl.float64)
    try:
        assert repr(minidl.ones(1)) == "tensor([1.], dtype=minidl.float64)".replace(", dtype=minidl.float64", "")
        assert repr(minidl.ones(1, dtype=minidl.float32)) == "tensor([1.], dtype=minidl.float32)"
    finally:
        minidl.set_default_dtype(minidl.float32)


def test_format():
    for library in (minidl, torch):
        x = library.tensor(3.14159, requires_grad=True)
        assert f"{x:.2f}" == "3.14"
        assert f"{library.tensor(7)}" == "7"
        assert f"{library.tensor([1.0])}" == "tensor([1.])"
        with pytest.raises(TypeError, match="unsupported format string"):
            f"{library.tensor([1.0]):.2f}"


def test_printing_copies_no_more_than_it_shows():
    x = minidl.zeros(1).expand(10**9)
    assert repr(x) == "tensor([0., 0., 0.,  ..., 0., 0., 0.])"


def test_an_unknown_profile():
    with pytest.raises(ValueError, match="unknown profile 'loud'"):
        minidl.set_printoptions(profile="loud")


def test_set_printoptions_stays():
    minidl.set_printoptions(precision=2)
    try:
        assert repr(minidl.tensor([0.123])) == "tensor([0.12])"
    finally:
        minidl.set_printoptions(profile="default")
    assert repr(minidl.tensor([0.123])) == "tensor([0.1230])"
