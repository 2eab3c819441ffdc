"""``backward`` and ``grad``: what a user calls to walk the tape."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from minidl.autograd.tape import Operator, Pass, add_to_grad, apply
from minidl.backends import namespace
from minidl.tensor import Tensor, wrap

# What makes the Pass of a backward(), if anything; the last one is asked.
_makers: list[Callable[..., Pass]] = []


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add to ``.grad`` of every leaf the gradient of the sum of ``tensors``, weighted by ``grad_tensors``.

    Args:
        tensors: what to differentiate. Scalars need no ``grad_tensors``.
        grad_tensors: a gradient for each tensor, of its shape (the vector of a vector-Jacobian product).
        retain_graph: keep what the operators saved, so that backward can pass again (default: ``create_graph``).
        create_graph: record the gradient computation itself, so that it can be differentiated.
        inputs: add to ``.grad`` of these only; those that are no leaves retain theirs from then on.

    Raises:
        RuntimeError: a non-scalar without a gradient; a gradient of another shape; nothing that requires grad; a second
            pass over a graph that was freed; a saved value changed in place.
    """
    roots, gradients = _roots(tensors, grad_tensors, create_graph)
    targets, wanted = (), None
    if inputs is not None:
        targets = _as_tuple(inputs)
        if not targets:
            raise RuntimeError("backward: `inputs` is empty; leave it out to reach every leaf")
        wanted = [_edge_of(t, i, "backward") for i, t in enumerate(targets)]
        for t in targets:
            retain_grad(t)  # as PyTorch does; leaves it leaves alone
    make = _makers[-1] if _makers else Pass
    walk = make(
        retain_graph=create_graph if retain_graph is None else retain_graph, create_graph=create_graph, wanted=wanted
    )
    walk.run(roots, gradients)
    if inputs is not None:
        found: Any = walk.wanted
        for edge, tensor in dict(zip(wanted or (), targets)).items():  # a target named twice counts once
            if found[edge] is not None and tensor.is_leaf:
                add_to_grad(tensor, found[edge], create_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of ``outputs`` with respect to each of ``inputs``; no ``.grad`` is touched.

    Args as for :func:`backward`; ``allow_unused`` gives None for an input that the outputs do not depend on,
    ``materialize_grads`` zeros. With ``is_grads_batched`` the ``grad_outputs`` have a further first dimension, and so
    have the gradients: one backward for each.

    Raises:
        RuntimeError: as :func:`backward`; an input that does not require grad, or that was not used.
        ValueError: ``allow_unused=False`` beside ``materialize_grads``.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False"
        )
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    targets = _as_tuple(inputs)
    roots, gradients = _roots(outputs, grad_outputs, create_graph)
    wanted = [_edge_of(t, i, "grad") for i, t in enumerate(targets)]
    walk = Pass(
        retain_graph=create_graph if retain_graph is None else retain_graph, create_graph=create_graph, wanted=wanted
    )
    walk.run(roots, gradients)
    results: list[Tensor | None] = []
    for position, (tensor, edge) in enumerate(zip(targets, wanted)):
        gradient = walk.wanted[edge]  # type: ignore[index]
        if gradient is None and materialize_grads:
            gradient = wrap(namespace(tensor._data).zeros(tensor.shape, tensor._data.dtype))
            gradient.requires_grad = create_graph
        elif gradient is None and not allow_unused:
            raise RuntimeError(
                f"One of the differentiated Tensors (input {position}, shape {tensor.shape}) appears to not have been "
                "used in the graph. Set allow_unused=True if this is the desired behavior."
            )
        results.append(gradient if gradient is None or isinstance(gradient, Tensor) else wrap(gradient))
    return tuple(results)


def _batched(
    outputs: Any, inputs: Any, vectors: Any, retain_graph: bool | None, create_graph: bool, *how: Any
) -> tuple:
    vectors = _as_tuple(vectors)
    count = {len(v) for v in vectors}
    if len(count) != 1:
        raise ValueError(
            f"grad: is_grads_batched needs grad_outputs of one length, got {[tuple(v.shape) for v in vectors]}"
        )
    rows = []
    for i in range(n := count.pop()):
        keep = retain_graph or create_graph or i + 1 < n
        rows.append(grad(outputs, inputs, [v[i] for v in vectors], keep, create_graph, how[0], False, how[1]))
    return tuple([None if column[0] is None else apply(_Beside(), *column) for column in zip(*rows)])


class _Beside(Operator):
    """y = the inputs beside each other along a new first axis;  ∂xᵢ = g[i]."""

    def forward(self, *arrays: Any) -> Any:
        return namespace(arrays[0]).stack(arrays)

    def backward(self, g: Any) -> Any:
        return tuple([g[i] for i in range(len(self.edges))])


def _as_tuple(tensors: Any) -> tuple:
    return (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)


def _edge_of(tensor: Tensor, position: int, caller: str) -> Any:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{caller}: inputs[{position}] must be a Tensor, got {type(tensor).__name__}")
    if not tensor.requires_grad:
        raise RuntimeError(
            f"One of the differentiated Tensors does not require grad: {caller} was asked for the gradient of "
            f"inputs[{position}] (shape {tensor.shape}); call .requires_grad_() on it before computing the output."
        )
    return tensor.edge() or (tensor, 0)


def _roots(tensors: Any, gradients: Any, create_graph: bool) -> tuple[list, list]:
    """Where the walk starts, and with which gradients (arrays, or Tensors under ``create_graph``)."""
    tensors = _as_tuple(tensors)
    if gradients is None:
        gradients = (None,) * len(tensors)
    elif not isinstance(gradients, (tuple, list)):
        gradients = (gradients,)
    if len(gradients) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(gradients)} gradients")
    edges, values = [], []
    for tensor, gradient in zip(tensors, gradients):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"backward starts at a Tensor, got {type(tensor).__name__}")
        if not tensor.requires_grad:
            raise RuntimeError(
                f"element 0 of tensors does not require grad and does not have a grad_fn: this tensor (shape "
                f"{tensor.shape}) was computed from nothing that requires grad, or inside minidl.no_grad()."
            )
        edges.append(tensor.edge() or (tensor, 0))
        values.append(_start(tensor, gradient, create_graph))
    return edges, values


def _start(tensor: Tensor, gradient: Any, create_graph: bool) -> Any:
    xp = namespace(tensor._data)
    if gradient is None:
        if tensor._data.size != 1:
            raise RuntimeError(
                f"grad can be implicitly created only for scalar outputs, and this one has shape {tensor.shape}. "
                "Reduce it first (loss.sum() or loss.mean()), or pass gradient=, a tensor of its shape."
            )
        ones = xp.ones(tensor.shape, tensor._data.dtype)
        return wrap(ones) if create_graph else ones
    if not isinstance(gradient, Tensor):
        raise TypeError(f"gradient must be a Tensor or None, got {type(gradient).__name__}")
    if gradient.shape != tensor.shape:
        raise RuntimeError(
            f"Mismatch in shape: gradient has a shape of {gradient.shape} and the tensor a shape of {tensor.shape}"
        )
    if gradient._data.dtype != tensor._data.dtype:
        gradient = gradient.to(tensor.dtype)
    return gradient if create_graph else gradient._data


# ---------------------------------------------------------------------------------------------------------------- hooks


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes it off again."""

    def __init__(self, hooks: list, function: Callable) -> None:
        self._hooks, self._function = hooks, function

    def remove(self) -> None:
        if self._function in self._hooks:
            self._hooks.remove(self._function)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register_hook(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call ``hook(gradient)`` when the gradient of ``tensor`` is complete; a Tensor it returns takes its place."""
    if not tensor.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    hooks = _hooks_of(tensor)
    hooks.append(hook)
    return RemovableHandle(hooks, hook)


def _hooks_of(tensor: Tensor) -> list:
    edge = tensor.edge()
    if edge is None:
        if tensor._hooks is None:
            tensor._hooks = []
        return tensor._hooks
    operator, position = edge
    if operator.hooks is None:
        operator.hooks = {}
    return operator.hooks.setdefault(position, [])


def register_post_accumulate_grad_hook(tensor: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call ``hook(tensor)`` after a backward has added to ``tensor.grad``. RuntimeError unless a leaf that requires
    grad."""
    if not tensor.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if not tensor.is_leaf:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    hooks = tensor.__dict__.setdefault("_after_grad", [])
    hooks.append(hook)
    return RemovableHandle(hooks, hook)


def retain_grad(tensor: Tensor) -> None:
    """Keep the gradient of an inner tensor in its ``.grad``, as for a leaf."""
    if not tensor.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if tensor.is_leaf or tensor.__dict__.get("_retains_grad"):
        return
    keep = weakref.ref(tensor)

    def store(gradient: Tensor) -> None:
        alive = keep()
        if alive is not None:
            alive.grad = gradient.clone() if alive.grad is None else alive.grad + gradient

    tensor.__dict__["_retains_grad"] = True
    _hooks_of(tensor).append(store)
