"""User-defined operators, as in PyTorch: ``forward(ctx, …)`` and ``backward(ctx, …)`` on Tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minidl.autograd.grad_mode import mode, no_grad, set_grad_enabled
from minidl.autograd.inplace import rebase, refuse_leaf
from minidl.autograd.tape import Operator, apply, record
from minidl.tensor import Tensor, View, raw, wrap


class Context(Operator):
    """What ``forward`` leaves for ``backward``: saved tensors, and any attribute.

    ``needs_input_grad[i]`` says whether the i-th argument needs a gradient.
    """

    function: type[Function]
    needs_input_grad: tuple = ()
    broadcasts = True  # as in PyTorch: a gradient of the broadcast shape is summed
    _dirty: tuple = ()
    _non_differentiable: tuple = ()

    @property
    def name(self) -> str:
        return self.function.__name__

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (inputs, outputs or new ones) for ``backward``, which finds them in ``saved_tensors``.

        TypeError for what is no Tensor; numbers and the like are attributes of ``ctx``.
        """
        for position, value in enumerate(tensors):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {position} is of type "
                    f"{type(value).__name__}; keep it as an attribute of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple:
        """What was saved. RuntimeError if it was freed, or changed in place since."""
        saved = self.saved
        return tuple(wrap(a) if a is not None and not isinstance(a, Tensor) else a for a in saved[:-1])

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that ``forward`` changed these inputs in place; it must return them too."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs take no part in gradients."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether outputs without a gradient get zeros (default) or None in ``backward``."""
        self.materialize = value

    def backward(self, *gradients: Any) -> tuple:
        create_graph = self._create_graph
        tensors = [g if g is None or isinstance(g, Tensor) else wrap(g) for g in gradients]
        with set_grad_enabled(create_graph):
            results = self.function.backward(self, *tensors)
        results = results if isinstance(results, (tuple, list)) else (results,)
        expected = len(self.edges)
        if len(results) > expected and all(r is None for r in results[expected:]):
            results = results[:expected]
        if len(results) != expected:
            raise RuntimeError(
                f"function {self.name}.backward returned an incorrect number of gradients (expected {expected}, got "
                f"{len(results)}): one for each argument of forward, None where there is none"
            )
        for position, result in enumerate(results):
            if result is not None and not isinstance(result, Tensor):
                raise TypeError(
                    f"{self.name}.backward must return Tensors or None, got {type(result).__name__} for argument "
                    f"{position}"
                )
        return tuple(results) if create_graph else tuple(raw(r) for r in results)


class Function:
    """Base of user-defined operators. Give two static methods and call ``apply``::

        class Square(minidl.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, grad_output):
                (x,) = ctx.saved_tensors
                return 2 * x * grad_output

        y = Square.apply(x)

    ``forward`` runs unrecorded. ``backward`` runs recorded under ``create_graph``, so it can be differentiated if it is
    written in minidl's functions. PyTorch's other form, ``forward(x)`` with ``setup_context(ctx, inputs, output)``,
    works as well.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("You must implement the forward function for a custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError("You must implement the backward function for a custom autograd.Function.")

    setup_context: Any = None

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and put it on the tape."""
        ctx = Context()
        ctx.function = cls
        ctx.needs = [isinstance(a, Tensor) and a.requires_grad for a in args]
        ctx.needs_input_grad = tuple(ctx.needs)
        ctx._to_save = ()
        with no_grad():
            if cls.setup_context is not None:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
        outputs = _finish(ctx, args, result if isinstance(result, tuple) else (result,))
        return outputs if isinstance(result, tuple) else outputs[0]


_IN_FUNCTION = "was made inside a custom Function (or is one of its inputs, returned as it was)"


def _finish(ctx: Context, args: tuple, results: tuple) -> tuple:
    """The outputs of a user's operator, on the tape if a gradient may be wanted: an input that comes back as it was is
    a view of its own, one that was changed in place keeps its identity and gets a new history."""
    for x in ctx._dirty:
        x._counter[0] += 1
    if not all(_among(x, results) for x in ctx._dirty):
        raise RuntimeError(
            f"{ctx.name}: Some elements marked as dirty during the forward method were not returned as output. The "
            "inputs that are modified inplace must all be outputs of the Function."
        )
    recording = mode.enabled and any(ctx.needs)
    kept = ctx._dirty if recording else tuple([x for x in ctx._dirty if not x.requires_grad])
    outputs = tuple([_alias(ctx, y, recording) if _among(y, args) and not _among(y, kept) else y for y in results])
    tensors = tuple([y for y in outputs if isinstance(y, Tensor)])
    if recording:
        _record(ctx, args, tensors)
    for y in tensors:
        if y._view is not None and not _among(y, ctx._dirty):
            y._view.why = _IN_FUNCTION
    return outputs


def _among(value: Any, values: tuple) -> bool:
    """Whether ``value`` itself, a Tensor, is one of ``values``."""
    return isinstance(value, Tensor) and any(value is v for v in values)


def _alias(ctx: Context, x: Tensor, recording: bool) -> Tensor:
    """``x`` as a tensor of its own that shares its memory, for an output that is an input; cut off the tape, as by
    ``detach``, where x is on it but nothing is recorded."""
    alias = wrap(x._data.view())
    alias._counter = x._counter
    if x.requires_grad and not recording:
        return alias
    if ctx.function.setup_context is not None and _among(x, ctx._to_save):
        raise RuntimeError(
            f"{ctx.name}: An input that has been returned as-is as output is being saved for backward. This is not "
            "supported if you override setup_context: return x.view_as(x), or save in forward itself."
        )
    alias._view = View(x, None, _IN_FUNCTION)
    return alias


def _record(ctx: Context, args: tuple, outputs: tuple[Tensor, ...]) -> None:
    """Put a user's operator on the tape."""
    constant = [y for y in outputs if any(y._data is c._data for c in ctx._non_differentiable)]
    for y in ctx._dirty:
        refuse_leaf(ctx.name, y)
        if y._view is not None and len(outputs) > 1:
            raise RuntimeError(
                f"{ctx.name}: a Function that changes in place an input that is a view cannot return more than one "
                "Tensor; work on a copy (.clone()) of the view"
            )
    # A changed input stands for itself among the outputs until it gets its new history.
    stand_ins = tuple([_stand_in(y) if _among(y, ctx._dirty) else y for y in outputs])
    arrays = [None if _among(a, ctx._dirty) else raw(a) for a in args]
    # The last saved value is a sentinel: `saved` stays a tuple however many there are.
    ctx._saved = (*(raw(t) for t in ctx._to_save), None)
    record(ctx, args, arrays, stand_ins)
    for y, stand_in in zip(outputs, stand_ins):
        if any(y is c for c in constant):
            y._edge, y._requires_grad = None, False
        elif y is not stand_in:
            rebase(y, stand_in)


def _stand_in(x: Tensor) -> Tensor:
    stand_in = wrap(x._data)
    stand_in._counter = x._counter
    return stand_in


class _NotTwice(Operator):
    """y = x, for a gradient that was computed outside the tape: differentiating it would give silent zeros."""

    def forward(self, x: Any) -> Any:
        return x.view()

    def backward(self, g: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable: write its backward in "
            "minidl's functions and leave the mark out"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a ``backward`` that cannot be differentiated (it uses NumPy, say): it runs unrecorded, and whoever
    differentiates its result gets a RuntimeError."""

    @functools.wraps(backward)
    def wrapped(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            results = backward(ctx, *gradients)
        if not mode.enabled or not any(isinstance(g, Tensor) and g.requires_grad for g in gradients):
            return results
        marked = [_not_twice(r) for r in (results if isinstance(results, tuple) else (results,))]
        return tuple(marked) if isinstance(results, tuple) else marked[0]

    return wrapped


def _not_twice(result: Any) -> Any:
    return result if result is None else apply(_NotTwice(), result.detach().requires_grad_())
