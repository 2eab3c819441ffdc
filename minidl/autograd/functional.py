"""Jacobians, Hessians, and their products with vectors, of plain functions of Tensors.

With f: Rⁿ → Rᵐ and Jacobian J (m × n): ``vjp`` is vᵀJ, one backward; ``jvp`` is Jv, by differentiating vᵀJ with respect
to v (the "double backward trick": vᵀJ is linear in v, and its derivative along u is uᵀJᵀ); ``hessian`` is the Jacobian
of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.autograd.grad_mode import enable_grad
from minidl.autograd.walk import grad
from minidl.backends import namespace
from minidl.tensor import Tensor, wrap

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(*inputs), vᵀJ)``. ``v`` has the shape of the output (may be left out if that is a single element)."""
    xs, single = _prepare(inputs, create_graph)
    with enable_grad():
        ys, single_output = _call(func, xs, "vjp", strict)
        vs = _vectors(v, ys, "vjp", "output")
        gradients = _grad(ys, xs, vs, create_graph, strict, "vjp")
    return _result(ys, single_output, create_graph), _result(gradients, single, create_graph)


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(*inputs), Jv)``. ``v`` has the shape of the inputs (may be left out if that is a single element)."""
    xs, _ = _prepare(inputs, create_graph)
    vs = _vectors(v, xs, "jvp", "input")
    with enable_grad():
        ys, single_output = _call(func, xs, "jvp", strict)
        us = tuple(_zeros_like(y).requires_grad_() for y in ys)
        transposed = _grad(ys, xs, us, True, strict, "jvp")
        products = _grad(transposed, us, vs, create_graph, False, "jvp")
    return _result(ys, single_output, create_graph), _result(products, single_output, create_graph)


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(*inputs), vᵀH)`` of a scalar function with Hessian H."""
    xs, single = _prepare(inputs, create_graph)
    vs = _vectors(v, xs, "vhp", "input")
    with enable_grad():
        ys, single_output = _call(func, xs, "vhp", strict)
        _scalar(ys, "vhp")
        first = _grad(ys, xs, None, True, strict, "vhp")
        products = _grad(first, xs, vs, create_graph, strict, "vhp")
    return _result(ys, single_output, create_graph), _result(products, single, create_graph)


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(*inputs), Hv)`` of a scalar function; H is symmetric, so this is :func:`vhp`."""
    return vhp(func, inputs, v, create_graph, strict)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: a Tensor of shape (*output, *input); nested tuples [output][input] where there are several.

    ``vectorize`` and ``strategy`` are accepted as in PyTorch; rows are computed one at a time, by backward.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(f'jacobian: Expected strategy to be "forward-mode" or "reverse-mode", got {strategy!r}')
    xs, single = _prepare(inputs, create_graph)
    with enable_grad():
        ys, single_output = _call(func, xs, "jacobian", strict)
        rows = tuple(_jacobian_of(y, xs, create_graph, strict) for y in ys)
    nested = tuple(_result(row, single, create_graph) for row in rows)
    return nested[0] if single_output else nested


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a scalar function: (*input, *input); nested tuples [input][input] where there are several.

    The last two arguments as for :func:`jacobian`.
    """
    single = isinstance(inputs, Tensor)

    def gradient(*xs: Tensor) -> Any:
        y = func(*xs)
        if not isinstance(y, Tensor) or y._data.size != 1:
            raise RuntimeError("hessian: the function given must return a Tensor with a single element")
        first = _grad((y,), xs, None, True, strict, "hessian")
        return first[0] if single else first

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _prepare(inputs: Any, create_graph: bool) -> tuple[tuple[Tensor, ...], bool]:
    """The inputs as tensors to differentiate by: on the caller's tape under ``create_graph``, leaves otherwise."""
    single = isinstance(inputs, Tensor)
    if not single and not isinstance(inputs, tuple):
        raise TypeError(f"the inputs must be a Tensor or a tuple of Tensors, got {type(inputs).__name__}")
    xs = (inputs,) if single else inputs
    for position, x in enumerate(xs):
        if not isinstance(x, Tensor):
            raise TypeError(f"inputs[{position}] must be a Tensor, got {type(x).__name__}")
    with enable_grad():
        if create_graph:
            prepared = tuple(x.view(x.shape) if x.requires_grad else x.detach().requires_grad_() for x in xs)
        else:
            prepared = tuple(x.detach().requires_grad_() for x in xs)
    return prepared, single


def _call(func: Callable[..., Any], xs: tuple, name: str, strict: bool) -> tuple[tuple[Tensor, ...], bool]:
    result = func(*xs)
    single = isinstance(result, Tensor)
    ys = (result,) if single else result
    if not isinstance(ys, tuple) or not all(isinstance(y, Tensor) for y in ys):
        raise TypeError(f"{name}: the function must return a Tensor or a tuple of Tensors, got {type(result).__name__}")
    if strict and not all(y.requires_grad for y in ys):
        raise RuntimeError(f"{name}: an output of the function is independent of the inputs (strict=True forbids it)")
    return ys, single


def _vectors(v: Any, like: tuple[Tensor, ...], name: str, which: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0]._data.size != 1:
            raise RuntimeError(f"{name}: the vector v can only be left out if the {which} is a single element")
        return (_zeros_like(like[0]) + 1,)
    vs = (v,) if isinstance(v, Tensor) else tuple(v)
    if [x.shape for x in vs] != [x.shape for x in like]:
        raise RuntimeError(
            f"{name}: v has shapes {[x.shape for x in vs]}, which must be those of the {which}s, "
            f"{[x.shape for x in like]}"
        )
    return vs


def _scalar(ys: tuple[Tensor, ...], name: str) -> None:
    if len(ys) != 1 or ys[0]._data.size != 1:
        raise RuntimeError(f"{name}: the function given must return a Tensor with a single element")


def _zeros_like(x: Tensor) -> Tensor:
    return wrap(namespace(x._data).zeros(x.shape, x._data.dtype))


def _grad(ys: tuple, xs: tuple, vs: Any, create_graph: bool, strict: bool, name: str) -> tuple[Tensor, ...]:
    """Gradients with zeros for independence (an error under ``strict``)."""
    used = [i for i, y in enumerate(ys) if y.requires_grad]
    if not used and strict:
        raise RuntimeError(f"{name}: the output is independent of the inputs (strict=True forbids it)")
    if not used:
        return tuple(_zeros_like(x) for x in xs)
    gradients = grad(
        [ys[i] for i in used],
        xs,
        None if vs is None else [vs[i] for i in used],
        create_graph=create_graph,
        retain_graph=True,
        allow_unused=True,
    )
    if strict and any(g is None for g in gradients):
        raise RuntimeError(f"{name}: the output is independent of an input (strict=True forbids it)")
    return tuple(_zeros_like(x) if g is None else g for g, x in zip(gradients, xs))


def _jacobian_of(y: Tensor, xs: tuple, create_graph: bool, strict: bool) -> tuple[Tensor, ...]:
    """For each input, ∂y/∂x of shape (*y, *x), one backward an element of y."""
    rows = [_grad((element,), xs, None, create_graph, strict, "jacobian") for element in y.reshape(-1)]
    return tuple(_stack([row[i] for row in rows], x).reshape(y.shape + x.shape) for i, x in enumerate(xs))


def _stack(rows: list[Tensor], x: Tensor) -> Tensor:
    from minidl import ops  # a convenience on top of the operators: imported when used

    return ops.stack(rows) if rows else wrap(namespace(x._data).zeros((0, *x.shape), x._data.dtype))


def _result(tensors: tuple, single: bool, create_graph: bool) -> Any:
    kept = tensors if create_graph else tuple(t.detach() for t in tensors)
    return kept[0] if single else kept
