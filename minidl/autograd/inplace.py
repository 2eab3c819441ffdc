"""Changes in place: new values in the same memory, and a new history for everyone who looks at it.

``x.mul_(2)`` is ``x * 2`` written into x's memory, after which x's history *is* that product. If x is a view of ``base``,
base has changed too: its new history is :class:`ViewScatter`, "the old base with the view's region replaced", and the
history of x, like that of every other view of base, becomes "the new base, looked at again" (:func:`refresh`).
"""

from __future__ import annotations

from typing import Any

from minidl import dtypes
from minidl.autograd.grad_mode import enable_grad, mode
from minidl.autograd.tape import Operator, apply, record
from minidl.backends import namespace
from minidl.tensor import Tensor, View, wrap


def in_place(name: str, function: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Replace the values of ``tensor`` by ``function(tensor, *args, **kwargs)``, in its memory and on the tape.

    RuntimeError for a leaf that requires grad, a result of another shape, or one of a higher category of type.
    """
    differentiable = mode.enabled and any(isinstance(t, Tensor) and t.requires_grad for t in (tensor, *args))
    if differentiable:
        refuse_leaf(name, tensor)
    # The rule may need the old values, which the change is about to overwrite.
    result = function(_copy_on_tape(tensor) if differentiable else tensor, *args, **kwargs)
    write(name, tensor, result)
    return tensor


def write(name: str, tensor: Tensor, result: Tensor) -> None:
    """Put the values and the history of ``result`` into ``tensor``."""
    if result.shape != tensor.shape:
        raise RuntimeError(
            f"{name}: output with shape {list(tensor.shape)} doesn't match the broadcast shape {list(result.shape)}; "
            "a change in place keeps the shape, so use the form without the underscore"
        )
    refuse_cast(name, result.dtype, tensor.dtype)
    xp = namespace(tensor._data)
    if not tensor._data.flags.writeable or (0 in tensor._data.strides and tensor._data.size > 1):
        _refuse_overlap(name, tensor)
    with xp.errstate(all="ignore"):
        xp.copyto(tensor._data, result._data, casting="unsafe")
    tensor._counter[0] += 1
    if result._requires_grad:
        rebase(tensor, result.to(tensor.dtype) if result.dtype is not tensor.dtype else result)


def refuse_leaf(name: str, tensor: Tensor) -> None:
    root = tensor if tensor._view is None else tensor._view.root
    if root._requires_grad and root._edge is None:
        what = "a leaf Variable" if root is tensor else "a view of a leaf Variable"
        raise RuntimeError(
            f"{name}: {what} that requires grad is being used in an in-place operation. Work on a copy (.clone()), or "
            "change the values outside the tape, inside minidl.no_grad()."
        )
    view = tensor._view
    while view is not None:
        if view.operator is None and (root._requires_grad or tensor._requires_grad):
            raise RuntimeError(
                f"{name}: this view is one of several outputs of one operator (unbind, split, chunk), and such views do "
                "not allow changes in place on the tape. Use indexing or narrow instead, or .clone() the view."
            )
        view = view.parent._view


def refuse_cast(name: str, found: dtypes.dtype, wanted: dtypes.dtype) -> None:
    if found.category > wanted.category:
        raise RuntimeError(
            f"{name}: result type {found} can't be cast to the desired output type {wanted}; "
            f"use the form without the underscore, or convert with .to({found}) first"
        )


def _refuse_overlap(name: str, tensor: Tensor) -> None:
    raise RuntimeError(
        f"{name}: unsupported operation: more than one element of the written-to tensor refers to a single memory "
        f"location (shape {tensor.shape}, an expanded view). Please clone() the tensor before performing the operation."
    )


def _copy_on_tape(tensor: Tensor) -> Tensor:
    copy = wrap(tensor._data.copy())
    copy._edge = tensor.edge()
    copy._requires_grad = tensor._requires_grad
    return copy


def rebase(tensor: Tensor, result: Tensor) -> None:
    """Give ``tensor``, whose values have changed, the history of ``result``, and carry it to what it is a view of."""
    while tensor._view is not None:
        parent, operator = tensor._view.parent, tensor._view.operator
        scatter = ViewScatter(operator)
        scatter.needs = [parent._requires_grad, result._requires_grad]
        scatter._saved = ()
        changed = wrap(parent._data)
        record(scatter, (parent, result), [parent._data, result._data], (changed,))
        tensor, result = parent, changed
    tensor._edge, tensor._requires_grad = result._edge, True
    tensor._rebased += 1


def look_anew(name: str, function: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Make ``tensor`` the view ``function(tensor, *args, **kwargs)`` of what it was, as ``transpose_`` does."""
    if mode.enabled and tensor.requires_grad:
        refuse_leaf(name, tensor)
    before = wrap(tensor._data)
    before._edge, before._requires_grad = tensor.edge(), tensor._requires_grad
    before._counter, before._view, before._rebased = tensor._counter, tensor._view, tensor._rebased
    after = function(before, *args, **kwargs)
    tensor._before = before
    tensor._data, tensor._edge, tensor._requires_grad = after._data, after._edge, after._requires_grad
    tensor._view = after._view
    return tensor


def refresh(view: Tensor) -> None:
    """Bring the history of a view up to date with its root's."""
    stale = [view]
    while stale[-1]._view.parent._view is not None:  # type: ignore[union-attr]
        stale.append(stale[-1]._view.parent)  # type: ignore[union-attr]
    for tensor in reversed(stale):
        link = tensor._view
        assert link is not None
        if link.rebased != link.root._rebased:
            link.rebased = link.root._rebased
            if link.operator is not None:
                with enable_grad():
                    again = apply(link.operator.again(), link.parent)
                tensor._edge, tensor._requires_grad = again._edge, again._requires_grad


View.refresh = staticmethod(refresh)


class ViewScatter(Operator):
    """y = base with the region that ``view`` looks at replaced by ``value``.

    ∂base: the gradient with that region zeroed;  ∂value: that region of the gradient.
    """

    def __init__(self, view: Operator) -> None:
        self.view = view

    def backward(self, g: Any) -> Any:
        region = apply(self.view.again(), g)
        if isinstance(g, Tensor):
            base = g.clone()
            apply(self.view.again(), base).zero_()
            return base, region
        base = g.copy()
        apply(self.view.again(), base)[...] = 0
        return base, region
