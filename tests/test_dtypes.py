"""Element types: conversions between all of them, rounding, what does not fit, defaults, limits, Python numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import minidl
from minidl.tensor import Tensor
from tests.test_promotion import DTYPES, FLOATS, INTS, difference, our_type, outcome, pair, report

TINY = [2.0**-24, 2.0**-25, 5.9e-8, 1e-40, 6.1e-5, 1 + 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 65519, 65520, 3.39e38]
VALUES = {
    "float": [
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -1.9,
        100.7,
        -100.2,
        3.0,
        *TINY,
        float("nan"),
        float("inf"),
        -float("inf"),
    ],
    "small": [0.0, -0.7, 1.9, 2.5, 100.7, 127.0],
    "int": [0, 1, -1, 5, 127, 128, 255, 256, 300, -128, -129, 32767, 32768, 2**24 + 1, 2**31 - 1],
    "bool": [True, False],
}


@pytest.mark.parametrize("source", DTYPES)
def test_conversions(source):
    """From floats to integers only what fits: the rest is not defined, in PyTorch neither."""
    found = []
    for target in DTYPES:
        if source in FLOATS:
            values = VALUES["float"] if target in (*FLOATS, "bool") else VALUES["small"]
        else:
            values = VALUES["bool"] if source == "bool" else VALUES["int"]
        tx = torch.tensor(values, dtype=torch.float64).to(getattr(torch, source))
        x = minidl.tensor(values, dtype=minidl.float64).to(our_type(source))
        for how, mine in {
            "to": x.to(our_type(target)),
            "type": x.type(our_type(target)),
            "keyword": x.to(dtype=our_type(target)),
            "type_as": x.type_as(minidl.zeros(1, dtype=our_type(target))),
            "copy_": minidl.empty(x.shape, dtype=our_type(target)).copy_(x),
        }.items():
            if said := difference(mine, tx.to(getattr(torch, target))):
                found.append(f"{source} to {target} by {how}: {said}")
    report(found)


def test_methods_named_after_types():
    names = ["half", "bfloat16", "float", "double", "byte", "char", "short", "int", "long", "bool"]
    found = []
    for source in DTYPES:
        x, tx = pair([0, 1, 3], source)
        for name in names:
            if said := difference(getattr(x, name)(), getattr(tx, name)()):
                found.append(f"{source}.{name}(): {said}")
            if x.type() != tx.type().replace("torch", "minidl"):
                found.append(f"{source}: {x.type()}")
            if difference(x.type(getattr(tx, name)().type()), getattr(tx, name)()):
                found.append(f"{source}.type({getattr(tx, name)().type()!r})")
    report(found)


def test_rounding_to_16_bits_is_to_even():
    values = np.random.default_rng(0).standard_normal(2000) * 10.0 ** np.random.default_rng(1).uniform(-9, 6, 2000)
    for name in ("float16", "bfloat16"):
        mine = minidl.tensor(values, dtype=minidl.float32).to(our_type(name)).float()
        theirs = torch.tensor(values, dtype=torch.float32).to(getattr(torch, name)).float()
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize("name", DTYPES)
def test_a_type_describes_itself(name):
    mine, theirs = our_type(name), getattr(torch, name)
    assert repr(mine) == repr(theirs).replace("torch", "minidl")
    assert mine.itemsize == theirs.itemsize
    assert mine.is_floating_point == theirs.is_floating_point
    assert mine.is_signed == theirs.is_signed
    assert mine.is_complex == theirs.is_complex
    assert pickle.loads(pickle.dumps(mine)) is mine
    assert copy.deepcopy(mine) is mine
    assert hash(mine) == hash(our_type(name))
    assert minidl.zeros(2, dtype=mine).element_size() == torch.zeros(2, dtype=theirs).element_size()
    assert minidl.zeros(2, dtype=mine).is_floating_point() == theirs.is_floating_point
    assert minidl.zeros(2, dtype=mine).is_signed() == torch.zeros(2, dtype=theirs).is_signed()


@pytest.mark.parametrize("name", FLOATS)
def test_finfo(name):
    mine, theirs = minidl.finfo(our_type(name)), torch.finfo(getattr(torch, name))
    for what in ("eps", "max", "min", "tiny", "smallest_normal", "bits"):
        assert float(getattr(mine, what)) == pytest.approx(float(getattr(theirs, what)), rel=1e-12), what
    assert mine.dtype == theirs.dtype


@pytest.mark.parametrize("name", INTS)
def test_iinfo(name):
    mine, theirs = minidl.iinfo(our_type(name)), torch.iinfo(getattr(torch, name))
    for what in ("max", "min", "bits", "dtype"):
        assert getattr(mine, what) == getattr(theirs, what), what


def test_limits_are_of_their_own_kind():
    assert minidl.finfo().max == torch.finfo().max
    for wrong in (lambda m: m.finfo(m.int32), lambda m: m.iinfo(m.float32), lambda m: m.iinfo(m.bool)):
        with pytest.raises(TypeError):
            wrong(torch)
        with pytest.raises(TypeError):
            wrong(minidl)


FACTORIES = {
    "tensor(int)": lambda m: m.tensor(3),
    "tensor(float)": lambda m: m.tensor([1.0, 2]),
    "tensor(bool)": lambda m: m.tensor([True, False]),
    "tensor(bool and int)": lambda m: m.tensor([True, 2]),
    "tensor(mixed)": lambda m: m.tensor([1, 2.5]),
    "tensor(empty)": lambda m: m.tensor([]),
    "tensor(float64 array)": lambda m: m.tensor(np.zeros(2)),
    "tensor(float32 number)": lambda m: m.tensor(np.float32(2)),
    "tensor(int16 array)": lambda m: m.tensor(np.zeros(2, "int16")),
    "as_tensor": lambda m: m.as_tensor([1, 2]),
    "zeros": lambda m: m.zeros(2),
    "ones": lambda m: m.ones(2),
    "full of int": lambda m: m.full((2,), 3),
    "full of float": lambda m: m.full((2,), 3.0),
    "full of bool": lambda m: m.full((2,), True),
    "arange": lambda m: m.arange(3),
    "arange of floats": lambda m: m.arange(0, 1, 0.25),
    "linspace": lambda m: m.linspace(0, 1, 3),
    "eye": lambda m: m.eye(2),
    "empty": lambda m: m.empty(2).fill_(0),  # whatever stood there may be nan
    "rand": lambda m: m.rand(2) * 0,
    "randint": lambda m: m.randint(0, 1, (2,)),
    "randperm": lambda m: m.randperm(1),
    "scalar_tensor": lambda m: m.scalar_tensor(2),
    "int / int": lambda m: m.tensor(3) / 2,
    "exp of int": lambda m: m.exp(m.tensor(1)),
    "int + float": lambda m: m.tensor([1]) + 1.5,
    "bool * float": lambda m: m.tensor([True]) * 1.5,
    "full_like": lambda m: m.full_like(m.tensor([1]), 2.5),
    "new_tensor": lambda m: m.tensor([1.0]).new_tensor([1, 2]),
    "new_zeros": lambda m: m.tensor([1]).new_zeros(2),
    "from_numpy": lambda m: m.from_numpy(np.zeros(2, "float16")),
    "Tensor": lambda m: m.Tensor([1, 2]),
}


@pytest.mark.parametrize("default", FLOATS)
def test_default_type(default):
    minidl.set_default_dtype(our_type(default))
    torch.set_default_dtype(getattr(torch, default))
    try:
        found = [f"{k}: {d}" for k, f in FACTORIES.items() if (d := difference(outcome(f, minidl), outcome(f, torch)))]
        assert minidl.get_default_dtype() is our_type(default)
    finally:
        minidl.set_default_dtype(minidl.float32)
        torch.set_default_dtype(torch.float32)
    report(found)


def test_default_type_is_floating():
    for wrong in (minidl.int32, "int32", 3):
        with pytest.raises(TypeError):
            minidl.set_default_dtype(wrong)
    assert minidl.get_default_dtype() is minidl.float32


@pytest.mark.parametrize("name", DTYPES)
def test_python_numbers(name):
    x, tx = pair(1, name)
    for function in (float, int, bool, lambda t: t.item(), lambda t: t.tolist(), lambda t: t.reshape(1).tolist()):
        assert difference(outcome(function, x), outcome(function, tx)) == ""
    for function in (lambda t: [10, 20][t], lambda t: range(t)):
        wanted = outcome(function, tx)
        mine = outcome(function, x)
        assert isinstance(mine, TypeError) if isinstance(wanted, TypeError) else mine == wanted


@pytest.mark.parametrize("name", DTYPES)
def test_numbers_written_into_a_tensor(name):
    """A number in place: what fits is converted, what does not is refused or wraps around, as in PyTorch."""
    found = []
    for number in (True, 0, 2, -3, 0.5, 2.9, -1.9):
        for how, write in {
            "fill_": lambda t, v: t.fill_(v),
            "setitem": lambda t, v: (t.__setitem__(0, v), t)[1],
            "full": lambda t, v: (minidl if isinstance(t, Tensor) else torch).full((2,), v, dtype=t.dtype),
            "masked_fill": lambda t, v: t.masked_fill(t == t, v),
            "new_full": lambda t, v: t.new_full((2,), v),
        }.items():
            if name == "uint8" and number < 0 and isinstance(number, float):
                continue  # not defined
            x, tx = pair([0, 1], name)
            if said := difference(outcome(write, x, number), outcome(write, tx, number)):
                found.append(f"{how}({number}) into {name}: {said}")
    report(found)
