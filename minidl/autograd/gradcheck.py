"""Gradients against finite differences: where they disagree, and by how much.

Central differences: ∂f/∂x ≈ (f(x + ε) - f(x - ε)) / 2ε, whose error is O(ε²) of truncation and O(u/ε) of rounding
(u the unit roundoff); ε = 1e-6 balances them in float64, the only type in which the comparison means much.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.autograd.walk import grad
from minidl.backends import namespace
from minidl.tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """A gradient that differs from its finite difference."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    seed: int = 0,
) -> bool:
    """Compare the gradients of ``func`` with finite differences; True if they agree.

    Args:
        func: takes ``inputs``, returns a Tensor or a tuple of Tensors.
        inputs: Tensors (those that require grad are checked, and should be float64) and anything else.
        eps, atol, rtol: step of the difference; |analytical - numerical| ≤ atol + rtol |numerical| must hold.
        raise_exception: raise on disagreement; otherwise return False.
        nondet_tol: how far two backward passes over the same values may differ.
        fast_mode: compare uᵀJv for random u and v instead of every element of the Jacobian J.

    Raises:
        GradcheckError: naming output, input, element, both values and their difference.
        ValueError: no input requires grad.
    """
    try:
        _check(func, _as_tuple(inputs), eps, atol, rtol, nondet_tol, fast_mode, np.random.default_rng(seed))
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    seed: int = 0,
) -> bool:
    """Compare second-order gradients with finite differences of the first-order ones; see :func:`gradcheck`.

    ``grad_outputs``: the gradients with which the first backward starts (random ones if not given); the function's
    dependence on them is checked as well.
    """
    inputs = _as_tuple(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(seed + 1)
        outputs = _outputs(func, inputs)
        grad_outputs = [_random_like(y, rng, requires_grad=True) for y in outputs]
    grad_outputs = _as_tuple(grad_outputs)
    checked = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]

    def first_order(*args: Any) -> tuple:
        xs, gs = args[: len(inputs)], args[len(inputs) :]
        xs = tuple(_separate(x) if i in checked else x for i, x in enumerate(xs))
        gradients = grad(
            _outputs(func, xs),
            [xs[i] for i in checked],
            gs,
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return tuple(g for g in gradients if g is not None)

    return gradcheck(
        first_order,
        (*inputs, *grad_outputs),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        fast_mode=fast_mode,
        seed=seed,
    )


def _separate(x: Tensor) -> Tensor:
    """``x`` as a value of its own, so that one tensor given twice has two gradients."""
    return x.view(x.shape)


def _as_tuple(inputs: Any) -> tuple:
    return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)


def _outputs(func: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    """The outputs of ``func`` that take part in gradients."""
    return [y for y in _all_outputs(func, inputs) if y.requires_grad]


def _all_outputs(func: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    result = func(*inputs)
    result = (result,) if isinstance(result, Tensor) else tuple(result)
    return [y for y in result if isinstance(y, Tensor) and y.dtype.is_floating_point]


def _random_like(y: Tensor, rng: np.random.Generator, requires_grad: bool = False) -> Tensor:
    random = wrap(namespace(y._data).asarray(rng.standard_normal(y.shape)).astype(y._data.dtype))
    return random.requires_grad_(requires_grad)


def _check(
    func: Callable[..., Any],
    inputs: tuple,
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    fast_mode: bool,
    rng: np.random.Generator,
) -> None:
    inputs = _all_different(inputs)
    checked = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have "
            "requires_grad=True."
        )
    for i in checked:
        if inputs[i].dtype.itemsize < 8:
            warnings.warn(
                f"Input #{i} is {inputs[i].dtype}: finite differences need double precision, so the check will likely "
                "fail. Use .double().",
                stacklevel=3,
            )
    kept = [k for k, y in enumerate(_all_outputs(func, inputs)) if y.requires_grad]
    _check_constant(func, inputs, checked, kept, eps)
    if not kept:
        return
    _check_deterministic(func, inputs, checked, rng, nondet_tol)
    compare = _compare_projected if fast_mode else _compare_elements
    compare(func, inputs, checked, kept, eps, Tolerance(atol, rtol), rng)


def _all_different(inputs: tuple) -> tuple:
    """The inputs with a leaf of its own for a tensor given twice: each position has its own gradient."""
    seen: list[Any] = []
    for x in inputs:
        repeated = isinstance(x, Tensor) and any(x is other for other in seen)
        seen.append(x.detach().clone().requires_grad_(x.requires_grad) if repeated else x)
    return tuple(seen)


def _check_deterministic(func: Any, inputs: tuple, checked: list, rng: Any, tolerance: float) -> None:
    outputs = _outputs(func, inputs)
    cotangents = [_random_like(y, rng) for y in outputs]
    xs = [inputs[i] for i in checked]
    passes = [grad(_outputs(func, inputs), xs, cotangents, allow_unused=True, materialize_grads=True) for _ in range(2)]
    for i, a, b in zip(checked, *passes):
        difference = _largest(a._data - b._data)  # type: ignore[union-attr]
        if difference > tolerance:
            raise GradcheckError(
                f"Backward is not reentrant, i.e., running it twice gives different gradients for input {i}: they "
                f"differ by up to {difference:.3g} (allowed: nondet_tol={tolerance:g})"
            )


def _check_constant(func: Any, inputs: tuple, checked: list, kept: list, eps: float) -> None:
    """Outputs that say they depend on nothing must not change with the inputs."""
    for i in checked:
        step = namespace(inputs[i]._data).full_like(inputs[i]._data, eps)
        ahead, behind = (_moved(func, inputs, i, sign * step) for sign in (1, -1))
        for k, (a, b) in enumerate(zip(ahead, behind)):
            if k not in kept and _largest(a - b) > 0:
                raise GradcheckError(
                    f"Numerical gradient for function expected to be zero: output {k} does not require grad, yet it "
                    f"changes with input {i}"
                )


def _largest(array: Any) -> float:
    return float(abs(array).max()) if array.size else 0.0


def _moved(func: Any, inputs: tuple, which: int, step: Any) -> list:
    """The values of all floating outputs of ``func`` with ``step`` added to one input."""
    inputs = tuple(
        wrap(x._data + step if i == which else x._data).requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x
        for i, x in enumerate(inputs)
    )
    return [y._data for y in _all_outputs(func, inputs)]


class Tolerance:
    """|analytical - numerical| ≤ atol + rtol |numerical|."""

    def __init__(self, atol: float, rtol: float) -> None:
        self.atol, self.rtol = atol, rtol

    def exceeded(self, analytical: Any, numerical: Any) -> Any:
        """Where the two differ by more; NaN in one only counts as well."""
        too_far = ~(abs(analytical - numerical) <= self.atol + self.rtol * abs(numerical))
        return too_far & ~((analytical != analytical) & (numerical != numerical)) & ~(analytical == numerical)


def _compare_elements(
    func: Any, inputs: tuple, checked: list, kept: list, eps: float, tolerance: Tolerance, rng: Any
) -> None:
    """Compare the whole Jacobian: rows from backward, columns from differences."""
    for i in checked:
        numerical = _numerical_jacobians(func, inputs, i, kept, eps)
        for k, expected in zip(kept, numerical):
            analytical = _analytical_jacobian(func, inputs, i, k)
            wrong = tolerance.exceeded(analytical, expected)
            if wrong.any():
                raise GradcheckError(_report(analytical, expected, wrong, i, k, inputs[i].shape))


def _numerical_jacobians(func: Any, inputs: tuple, which: int, kept: list, eps: float) -> list:
    """J[row, column] = ∂(output element)/∂(input element) by central differences, one matrix for each output."""
    x = inputs[which]._data
    columns: list[list] = [[] for _ in kept]
    for element in range(x.size):
        step = namespace(x).zeros(x.size, x.dtype)
        step[element] = eps
        ahead = _moved(func, inputs, which, step.reshape(x.shape))
        behind = _moved(func, inputs, which, -step.reshape(x.shape))
        for column, k in zip(columns, kept):
            column.append(((ahead[k] - behind[k]) / (2 * eps)).reshape(-1))
    sizes = [_all_outputs(func, inputs)[k]._data.size for k in kept]
    return [np.stack(c, axis=1) if c else np.zeros((n, 0)) for c, n in zip(columns, sizes)]


def _analytical_jacobian(func: Any, inputs: tuple, which: int, k: int) -> Any:
    output = _all_outputs(func, inputs)[k]
    xp = namespace(output._data)
    rows = []
    for element in range(output._data.size):
        cotangent = xp.zeros(output._data.size, output._data.dtype)
        cotangent[element] = 1
        (row,) = grad(
            output,
            inputs[which],
            wrap(cotangent.reshape(output.shape)),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        rows.append(row._data.reshape(-1))  # type: ignore[union-attr]
    return np.stack(rows) if rows else np.zeros((0, inputs[which]._data.size))


def _report(analytical: Any, numerical: Any, wrong: Any, i: int, k: int, shape: tuple) -> str:
    """Say which element is furthest off, in which direction, and how many others are."""
    distance = np.where(wrong, np.nan_to_num(abs(analytical - numerical), nan=np.inf), -1.0)
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    where = tuple(int(n) for n in np.unravel_index(int(column), shape)) if shape else ()
    a, n = analytical[row, column], numerical[row, column]
    return (
        f"Jacobian mismatch for output {k} with respect to input {i}: {int(wrong.sum())} of {wrong.size} elements are "
        f"off.\nThe worst: the derivative of element {int(row)} of the output (flattened) by element {where} of the "
        f"input (shape {tuple(shape)}):\n  analytical (backward)  {a:.8g}\n  numerical (difference) {n:.8g}\n"
        f"  difference             {abs(a - n):.3g}" + (f"   ratio {a / n:.6g}" if n else "")
    )


def _compare_projected(
    func: Any, inputs: tuple, checked: list, kept: list, eps: float, tolerance: Tolerance, rng: Any
) -> None:
    """Compare uᵀ(Jv) with (uᵀJ)v for random u and v: two calls and one backward an input, whatever its size."""
    for i in checked:
        x = inputs[i]._data
        v = namespace(x).asarray(rng.standard_normal(x.shape))
        ahead, behind = (_moved(func, inputs, i, sign * eps * v) for sign in (1, -1))
        for k in kept:
            output = _all_outputs(func, inputs)[k]
            u = _random_like(output, rng)
            numerical = float((u._data * (ahead[k] - behind[k])).sum()) / (2 * eps)
            (row,) = grad(output, inputs[i], u, allow_unused=True, materialize_grads=True)
            analytical = float((row._data * v).sum())  # type: ignore[union-attr]
            scale = tolerance.atol * max(1.0, float(np.sqrt(output._data.size * x.size)))
            if not abs(analytical - numerical) <= scale + tolerance.rtol * abs(numerical):
                raise GradcheckError(
                    f"Jacobian mismatch in fast mode for output {k} with respect to input {i} (shape {x.shape}): along "
                    f"random directions, analytical {analytical:.8g}, numerical {numerical:.8g}, difference "
                    f"{abs(analytical - numerical):.3g}. Run without fast_mode to see which elements are off."
                )
