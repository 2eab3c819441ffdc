"""Every operator of the table, over all its samples: values and gradients against PyTorch in float64, the other element
types, finite differences to second order, the in-place and method forms, adjoints, and wrong calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl.autograd import grad, gradcheck, gradgradcheck
from minidl.tensor import Tensor, wrap
from tests.table import TABLE
from tests.table.run import (
    TOLERANCE,
    assert_same,
    call_torch,
    is_tensor,
    minidl_arguments,
    outputs_of,
    resolve,
    to_numpy,
    to_torch,
    torch_arguments,
)

SAMPLES = [(op, sample) for op in TABLE.values() for sample in op.all_samples()]


def order_of(op, sample):
    return op.order if sample.order is None else min(op.order, sample.order)


def ids(cases):
    return [f"{op.name}-{case.name}".replace(" ", "_") for op, case in cases]


def each(cases):
    return pytest.mark.parametrize(("op", "sample"), cases, ids=ids(cases))


def random_cotangents(outputs, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(tuple(y.shape)) for y in outputs]


@each(SAMPLES)
def test_values_and_gradients_match_pytorch(op, sample):
    differentiable = order_of(op, sample) > 0 and op.compare == "values"
    args, kwargs, leaves = minidl_arguments(sample, grad=differentiable)
    theirs_args, theirs_kwargs, theirs_leaves = torch_arguments(sample, grad=differentiable)
    ours = resolve(minidl, op.name)(*args, **kwargs)
    theirs = call_torch(op, theirs_args, theirs_kwargs)
    assert_same(op, ours, theirs, op.atol)
    if not differentiable:
        return
    ours = [y for y in outputs_of(ours) if is_tensor(y) and y.requires_grad]
    theirs = [y for y in outputs_of(theirs) if is_tensor(y) and y.requires_grad]
    assert len(ours) == len(theirs), f"{len(ours)} outputs require grad, in PyTorch {len(theirs)}"
    if not ours:
        return
    cotangents = random_cotangents(ours)
    gradients = grad(ours, leaves, [wrap(c) for c in cotangents], allow_unused=True, materialize_grads=True)
    expected = torch.autograd.grad(
        theirs,
        theirs_leaves,
        [torch.from_numpy(np.asarray(c)) for c in cotangents],
        allow_unused=True,
        materialize_grads=True,
    )
    for position, (g, e) in enumerate(zip(gradients, expected)):
        assert g.shape == tuple(e.shape)
        np.testing.assert_allclose(
            to_numpy(g),
            to_numpy(e),
            rtol=10 * op.atol,
            atol=10 * op.atol,
            equal_nan=True,
            err_msg=f"gradient of tensor argument {position}",
        )


TYPED = [
    (op, sample, dtype)
    for op, sample in SAMPLES
    for dtype in op.dtypes
    if dtype != "float64" and (op.dtype_samples is None or sample.name in op.dtype_samples)
]


@pytest.mark.parametrize(
    ("op", "sample", "dtype"), TYPED, ids=[f"{op.name}-{s.name}-{d}".replace(" ", "_") for op, s, d in TYPED]
)
def test_element_types_match_pytorch(op, sample, dtype):
    theirs_args, theirs_kwargs, _ = torch_arguments(sample, dtype)
    args, kwargs, _ = minidl_arguments(sample, dtype)
    try:
        expected = call_torch(op, theirs_args, theirs_kwargs)
    except (RuntimeError, TypeError, IndexError, NotImplementedError, ValueError) as refusal:
        if "not implemented" in str(refusal) or "not supported" in str(refusal):
            resolve(minidl, op.name)(*args, **kwargs)  # PyTorch lacks a kernel; minidl has one
            return
        with pytest.raises((RuntimeError, TypeError, IndexError, ValueError)):
            resolve(minidl, op.name)(*args, **kwargs)
        return
    ours = resolve(minidl, op.name)(*args, **kwargs)
    assert_same(op, ours, expected, op.tolerance.get(dtype, TOLERANCE.get(dtype, 1e-6)), dtype)


FIRST = [(op, s) for op, s in SAMPLES if order_of(op, s) >= 1 and op.compare == "values" and not s.kink]
SECOND = [(op, s) for op, s in FIRST if order_of(op, s) >= 2]


def as_function(op, sample):
    """The sample as a function of its differentiable tensors, and those tensors."""
    _, _, leaves = minidl_arguments(sample, grad=True)

    def function(*tensors):
        args, kwargs, originals = minidl_arguments(sample, grad=True)
        replace = {id(old): new for old, new in zip(originals, tensors)}
        args, kwargs = substitute(args, replace), substitute(kwargs, replace)
        result = resolve(minidl, op.name)(*args, **kwargs)
        return tuple(y for y in outputs_of(result) if isinstance(y, Tensor) and y.dtype.is_floating_point)

    return function, leaves


def substitute(value, replace):
    if isinstance(value, (list, tuple)):
        return type(value)(substitute(v, replace) for v in value)
    if isinstance(value, dict):
        return {k: substitute(v, replace) for k, v in value.items()}
    return replace.get(id(value), value)


@each(FIRST)
def test_gradient_is_the_finite_difference(op, sample):
    function, leaves = as_function(op, sample)
    if leaves:
        assert gradcheck(function, leaves, fast_mode=True, nondet_tol=0)


@each(SECOND)
def test_second_order_gradient_is_the_finite_difference(op, sample):
    function, leaves = as_function(op, sample)
    if leaves and any(y.requires_grad for y in function(*leaves)):
        assert gradgradcheck(function, leaves, fast_mode=True, atol=1e-4)


IN_PLACE = [(op, s) for op, s in SAMPLES if op.inplace and s.args and not isinstance(s.args[0], (int, float))]


@each(IN_PLACE)
def test_in_place_form_matches_pytorch(op, sample):
    """Same values and gradients as PyTorch's in-place form, in the same memory; and PyTorch's refusals."""
    name = op.name.rpartition(".")[2] + "_"
    differentiable = order_of(op, sample) > 0
    args, kwargs, leaves = minidl_arguments(sample, grad=differentiable)
    theirs_args, theirs_kwargs, theirs_leaves = torch_arguments(sample, grad=differentiable)
    target, expected = args[0].clone(), theirs_args[0].clone()
    memory = target._data
    try:
        getattr(expected, name)(*theirs_args[1:], **theirs_kwargs)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            getattr(target, name)(*args[1:], **kwargs)
        return
    assert getattr(target, name)(*args[1:], **kwargs) is target
    assert np.shares_memory(target._data, memory) or target._data.size == 0
    assert_same(op, target, expected, op.atol)
    assert target.requires_grad == expected.requires_grad
    if target.requires_grad:
        (cotangent,) = random_cotangents([target])
        ours = grad(target, leaves, wrap(cotangent), allow_unused=True, materialize_grads=True)
        theirs = torch.autograd.grad(
            expected, theirs_leaves, to_torch(cotangent), allow_unused=True, materialize_grads=True
        )
        for g, e in zip(ours, theirs):
            np.testing.assert_allclose(to_numpy(g), to_numpy(e), rtol=1e-5, atol=1e-5, equal_nan=True)


METHODS = [
    (op, next(s for s in op.all_samples()))
    for op in TABLE.values()
    if op.method and "." not in op.name and op.all_samples()
]


@each(METHODS)
def test_method_form_is_the_function(op, sample):
    args, kwargs, _ = minidl_arguments(sample)
    if not (args and isinstance(args[0], Tensor)):
        pytest.fail(f"{op.name}: the first sample has no tensor in front; give method=False or another first sample")
    with_method = getattr(args[0], op.name)(*args[1:], **kwargs)
    with_function = resolve(minidl, op.name)(*args, **kwargs)
    for a, b in zip(outputs_of(with_method), outputs_of(with_function)):
        if isinstance(a, Tensor) and op.compare == "values":
            np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


LINEAR = [(op, s) for op, s in FIRST if op.linear]


@each(LINEAR)
def test_adjoint(op, sample):
    """⟨A x, g⟩ = ⟨x, Aᵀ g⟩ for operators linear in their first argument, exactly up to rounding."""
    args, kwargs, _ = minidl_arguments(sample, grad=True)
    x = args[0]
    (y,) = [y for y in outputs_of(resolve(minidl, op.name)(*args, **kwargs)) if y.dtype.is_floating_point]
    (g,) = random_cotangents([y])
    (adjoint,) = grad(y, x, wrap(np.asarray(g)), allow_unused=True, materialize_grads=True)
    forward = float((y._data * g).sum())
    backward = float((x._data * adjoint._data).sum())
    assert forward == pytest.approx(backward, rel=1e-10, abs=1e-10)


ERRORS = [(op, case) for op in TABLE.values() for case in op.all_errors()]


@pytest.mark.parametrize(("op", "case"), ERRORS, ids=ids(ERRORS))
def test_wrong_calls_say_what_is_wrong(op, case):
    """PyTorch refuses the call with the same type of error, and minidl's message says what is wrong."""
    theirs_args, theirs_kwargs, _ = torch_arguments(case)
    with pytest.raises(Exception) as refusal:  # noqa: PT011 - its type is compared below
        call_torch(op, theirs_args, theirs_kwargs)
    assert issubclass(refusal.type, case.error) or issubclass(case.error, refusal.type), (
        f"PyTorch raises {refusal.type.__name__}, the table says {case.error.__name__}"
    )
    args, kwargs, _ = minidl_arguments(case)
    with pytest.raises(case.error, match=case.match):
        resolve(minidl, op.name)(*args, **kwargs)
