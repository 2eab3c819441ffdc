"""The door to Triton: in the interpreter, on NumPy arrays, without PyTorch."""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from minidl_kernels.arrays import gpu_is_available, launches
from minidl_kernels.triton_interpreter import narrow, widen
from minidl_kernels.triton_runtime import launch, next_power_of_2, warps

import triton  # isort: skip
import triton.language as tl  # isort: skip
from triton.runtime.interpreter import InterpreterBuilder  # isort: skip

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
pytestmark = pytest.mark.skipif(gpu_is_available(), reason="NumPy arrays are for the interpreter")


@triton.jit
def scaled(x, y, factor, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n) * factor, mask=at < n)


@triton.jit
def running_sum(x, y, n, BLOCK: tl.constexpr):
    """Loop bounds and conditions that are numbers of the program, not of the host."""
    column = tl.arange(0, BLOCK)
    length = tl.load(n)
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(length):
        if row != 1:
            total += tl.load(x + row * BLOCK + column)
    tl.store(y + column, total)


@triton.jit
def multiplied(a, b, c, N: tl.constexpr):
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    product = tl.dot(tl.load(a + at), tl.load(b + at), input_precision="ieee")
    tl.store(c + at, product.to(c.dtype.element_ty))


@triton.jit
def summed(x, y, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at) + tl.load(y + at))


def test_numpy_arrays_go_in_and_results_come_back():
    x, y, before = np.arange(10, dtype=np.float32), np.full(10, np.nan, np.float32), launches[0]
    launch(scaled, (3,), x, y, np.float32(2), 10, BLOCK=4)
    np.testing.assert_array_equal(y, 2 * x)
    assert launches[0] == before + 1


def test_nothing_is_launched_on_an_empty_grid():
    before = launches[0]
    launch(scaled, (0,), np.zeros(0, np.float32), np.zeros(0, np.float32), 1.0, 0, BLOCK=4)
    assert launches[0] == before


def test_loops_as_long_as_the_program_finds():
    x, y = np.arange(16, dtype=np.float32).reshape(4, 4), np.empty(4, np.float32)
    launch(running_sum, (1,), x, y, np.array([3]), BLOCK=4)
    np.testing.assert_array_equal(y, x[0] + x[2])


def test_products_of_bfloat16_are_summed_in_float32():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((16, 16)).astype(BFLOAT16) for _ in "ab")
    c = np.empty((16, 16), np.float32)
    launch(multiplied, (1,), a, b, c, N=16)
    np.testing.assert_allclose(c, a.astype(np.float32) @ b.astype(np.float32), rtol=1e-6, atol=1e-6)


def test_bfloat16_is_rounded_to_nearest_even():
    values = np.concatenate(
        [np.random.default_rng(0).standard_normal(999) * 1e3, [0, -0.0, np.inf, np.nan, 1e-40, 3.4e38]]
    )
    values = values.astype(np.float32)
    expected = values.astype(BFLOAT16)
    np.testing.assert_array_equal(narrow(values).view(BFLOAT16).astype(np.float32), expected.astype(np.float32))
    np.testing.assert_array_equal(widen(expected.view(np.uint16)), expected.astype(np.float32))


def test_whole_numbers_are_added_once_and_wrap_round(monkeypatch):
    called = []
    add = InterpreterBuilder.binary_op
    monkeypatch.setattr(InterpreterBuilder, "binary_op", lambda *a: called.append(a[3]) or add(*a))
    x, y = np.full(4, 2**31 - 1, np.int32), np.arange(4, dtype=np.int32)
    launch(summed, (1,), x, y, BLOCK=4)
    assert y.tolist() == [2**31 - 1, -(2**31), 1 - 2**31, 2 - 2**31]
    assert called == [np.add]


def test_shapes_are_shared_and_each_tensor_keeps_its_own_type():
    first, second = (tl.core.block_type(t, [4, 8]) for t in (tl.float32, tl.int32))
    assert (first.element_ty, second.element_ty, first.numel) == (tl.float32, tl.int32, 32)
    assert first != second
    assert first == tl.core.block_type(tl.float32, [tl.constexpr(4), tl.constexpr(8)])
    assert first != tl.core.block_type(tl.float32, [8, 4])
    assert tl.core.block_type(tl.pointer_type(tl.float32), [4, 8]).element_ty == tl.pointer_type(tl.float32)
    for _ in range(2):
        with pytest.raises(ValueError, match="power of 2"):
            tl.core.block_type(tl.float32, [3])


def test_sizes():
    assert [next_power_of_2(n) for n in (0, 1, 2, 3, 1000, 1024)] == [1, 1, 2, 4, 1024, 1024]
    assert [warps(n) for n in (1, 256, 1024, 1 << 20)] == [1, 1, 4, 16]


def test_pytorch_is_never_imported_and_the_users_setting_stays():
    program = (
        "import os, sys, numpy as np\n"
        "from minidl_kernels.softmax import with_triton\n"
        "y = with_triton.forward(np.zeros((2, 4), np.float32))\n"
        "print(y.tolist() == [[.25] * 4] * 2, 'torch' in sys.modules, os.environ.get('TRITON_INTERPRET'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = [sys.executable, "-c", program]
    made = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
    assert made.stdout.split() == ["True", "False", "None"]
