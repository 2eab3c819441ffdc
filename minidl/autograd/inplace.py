"""Changes in place: new values in the same memory, and a new history for everyone who looks at it.

``x.mul_(2)`` is ``x * 2`` written into x's memory, after which x's history *is* that product. If x is a view of
``base``, base has changed too: its new history is :class:`ViewScatter`, "the old base with the view's region replaced",
and the history of x, like that of every other view of base, becomes "the new base, looked at again" (:func:`refresh`).
"""

from __future__ import annotations

from typing import Any

from minidl import dtypes
from minidl.autograd.grad_mode import enable_grad, mode, set_grad_enabled
from minidl.autograd.layout import Lay, lay_out, layout_of
from minidl.autograd.tape import Operator, apply, record
from minidl.backends import namespace
from minidl.tensor import Tensor, View, wrap


def in_place(name: str, function: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Replace the values of ``tensor`` by ``function(tensor, *args, **kwargs)``, in its memory and on the tape.

    RuntimeError for a leaf that requires grad, a result of another shape, or one of a higher category of type.
    """
    differentiable = (
        mode.enabled
        and tensor._data.dtype.kind not in "iub"
        and (tensor.requires_grad or _any_requires_grad((*args, *kwargs.values())))
    )
    if differentiable:
        refuse_leaf(name, tensor)
    # The rule may need the old values, which the change is about to overwrite.
    result = function(_copy_on_tape(tensor) if differentiable else tensor, *args, **kwargs)
    _same_shape(name, tensor, result)
    if tensor._requires_grad and differentiable and not result._requires_grad:
        result = apply(Replaced(), tensor, result)  # a comparison, say, has a gradient in place, which is 0
    write(name, tensor, result)
    return tensor


class Replaced(Operator):
    """y = value, in the shape and type of x, whatever x was;  ∂y/∂x = 0."""

    def forward(self, x: Any, value: Any) -> Any:
        y = namespace(x).empty_like(x)
        y[...] = value
        return y

    def backward(self, g: Any) -> Any:
        return apply(Replaced(), g, 0.0), None


def _any_requires_grad(values: Any) -> bool:
    for value in values:
        if (
            value.requires_grad
            if isinstance(value, Tensor)
            else type(value) in (tuple, list) and _any_requires_grad(value)
        ):
            return True
    return False


# They write one value everywhere: it does no harm that places of an expanded tensor are one.
_FILLS = ("fill_", "zero_")


def write(name: str, tensor: Tensor, result: Tensor) -> None:
    """Put the values and the history of ``result`` into ``tensor``."""
    _same_shape(name, tensor, result)
    refuse_cast(name, result.dtype, tensor.dtype)
    array = tensor._data
    if (0 in array.strides and name not in _FILLS and _overlaps(array)) or not getattr(array.flags, "writeable", True):
        _refuse_overlap(name, tensor)
    xp = namespace(array)
    with xp.errstate(all="ignore"):
        xp.copyto(array, result._data, casting="unsafe")
    tensor._counter[0] += 1
    if result._requires_grad:
        if result._data.dtype == array.dtype:
            _save_in_place(result, tensor)
            rebase(tensor, result)
        else:
            rebase(tensor, result.to(tensor.dtype))


def _same_shape(name: str, tensor: Tensor, result: Tensor) -> None:
    if result.shape != tensor.shape:
        raise RuntimeError(
            f"{name}: output with shape {list(tensor.shape)} doesn't match the broadcast shape {list(result.shape)}; "
            "a change in place keeps the shape, so use the form without the underscore"
        )


def _overlaps(array: Any) -> bool:
    return array.size > 0 and any(stride == 0 and n > 1 for stride, n in zip(array.strides, array.shape))


def _save_in_place(result: Tensor, tensor: Tensor) -> None:
    """What the operator saved of its output is now in the memory of ``tensor``, whose later changes must be noticed."""
    operator, position = result._edge  # type: ignore[misc]
    if operator._saved and any(o is not None and o[1] is result._counter for o in operator._origins):
        origins, saved = list(operator._origins), list(operator._saved)
        for i, origin in enumerate(origins):
            if origin is not None and origin[1] is result._counter:
                origins[i] = (-1 - position, tensor._counter, tensor._counter[0])
                saved[i] = tensor._data
        operator._origins, operator._saved = origins, tuple(saved)


def refuse_leaf(name: str, tensor: Tensor) -> None:
    """RuntimeError for a leaf that requires grad, a view of one, or a view that may not be changed on the tape."""
    view = tensor._view
    while view is not None:
        if view.why:
            raise RuntimeError(
                f"{name}: this tensor is a view that {view.why}, and such views do not allow changes in place on the "
                "tape. Use indexing or narrow instead, with recording on, or .clone() the view."
            )
        view = parent_of(view)._view
    root = tensor if tensor._view is None else tensor._view.root
    for leaf in (tensor, root):
        if (leaf._requires_grad or tensor._requires_grad) and leaf._edge is None:
            what = "a leaf Variable" if tensor._view is None else "a view of a leaf Variable"
            raise RuntimeError(
                f"{name}: {what} that requires grad is being used in an in-place operation. Work on a copy (.clone()), "
                "or change the values outside the tape, inside minidl.no_grad()."
            )


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
    """Give ``tensor``, whose values have changed, the history of ``result``. If it is a view, its root gets a history
    in which that region is replaced, and all views of the root follow when they are next used."""
    views: list[Operator] = []
    while (link := tensor._view) is not None:
        views.append(link.operator)  # type: ignore[arg-type]
        tensor = parent_of(link)
    if views:
        scatter = ViewScatter(views[::-1], tensor._data)
        scatter.needs = [tensor._requires_grad, result._requires_grad]
        scatter._saved = ()
        changed = wrap(tensor._data)
        record(scatter, (tensor, result), [tensor._data, result._data], (changed,))
        result = changed
    tensor._edge, tensor._requires_grad = result._edge, True
    tensor._rebased += 1


def look_anew(name: str, function: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Make ``tensor`` the view ``function(tensor, *args, **kwargs)`` of what it was, as ``transpose_`` does.

    What it was lives on as a tensor of its own, into which its older views look from then on (:func:`refresh`).
    """
    if mode.enabled and tensor.requires_grad:
        refuse_leaf(name, tensor)
    before = wrap(tensor._data)
    before._edge, before._requires_grad = tensor.edge(), tensor._requires_grad
    before._counter, before._view, before._rebased = tensor._counter, tensor._view, tensor._rebased
    before.__dict__["_before"] = tensor.__dict__.get("_before")
    leaf = tensor._requires_grad and before._edge is None
    with set_grad_enabled(not leaf):  # under no_grad as well: the history must have the shape of the values
        after = function(before, *args, **kwargs)
    if leaf:
        tensor._data = after._data
        tensor._counter[0] += 1
        return tensor
    tensor.__dict__["_before"] = before
    tensor._data, tensor._edge, tensor._requires_grad = after._data, after._edge, after._requires_grad
    tensor._view = after._view
    tensor._rebased += 1
    tensor._counter[0] += 1
    return tensor


def parent_of(link: View) -> Tensor:
    """The tensor that a view looks into: what its parent was when it was made, if ``look_anew`` came between."""
    while link.parent._data is not link.array and (before := link.parent.__dict__.get("_before")) is not None:
        link.parent = before
    return link.parent


def refresh(view: Tensor) -> None:
    """Bring the history of a view up to date with its root's.

    RuntimeError if that cannot be had: one of several outputs of an operator, a view made under ``no_grad``.
    """
    line: list[Tensor] = []
    tensor = view
    while (link := tensor._view) is not None:
        line.append(tensor)
        tensor = parent_of(link)
    for view in reversed(line):
        link = view._view
        assert link is not None
        link.root = tensor
        if link.rebased == tensor._rebased:
            continue
        if link.why:
            if not mode.enabled:  # its history is not asked for
                return
            raise RuntimeError(
                f"this tensor is a view that {link.why}, and what it looks into has been modified in place on the tape "
                "since; such views cannot follow. Use indexing or narrow instead, with recording on, or .clone() it."
            )
        link.rebased = tensor._rebased
        if link.parent._requires_grad:
            with enable_grad():
                again = apply(link.operator.again(), link.parent)  # type: ignore[union-attr]
            view._edge, view._requires_grad = again._edge, again._requires_grad


View.refresh = staticmethod(refresh)  # type: ignore[method-assign]


class ViewScatter(Operator):
    """y = base with the region that ``views``, one after the other, look at replaced by ``value``.

    ∂base: the gradient with that region zeroed;  ∂value: that region of the gradient.
    """

    def __init__(self, views: list[Operator], base: Any) -> None:
        self.views = views
        self.layout = layout_of(base) if any(getattr(v, "by_memory", False) for v in views) else None

    def region(self, x: Any) -> Any:
        for view in self.views:
            x = apply(view.again(), x)
        return x

    def backward(self, g: Any) -> Any:
        if self.layout is not None:  # a view by strides looks at the same places only in memory of the same order
            g = apply(Lay(self.layout), g)
        if isinstance(g, Tensor):
            base = g.clone() if self.layout is None else apply(Lay(self.layout), g)
            self.region(base).zero_()
        else:
            # A copy, and an array even if g is a NumPy scalar.
            base = namespace(g).array(g) if self.layout is None else lay_out(g, self.layout)
            self.region(base)[...] = 0
        return base, self.region(g)
