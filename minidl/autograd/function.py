"""User-defined operators, as in PyTorch: ``forward(ctx, …)`` and ``backward(ctx, …)`` on Tensors."""

from __future__ import annotations

from typing import Any

from minidl.autograd.grad_mode import mode, no_grad, set_grad_enabled
from minidl.autograd.tape import Operator, record
from minidl.tensor import Tensor, raw, wrap


class Context(Operator):
    """What ``forward`` leaves for ``backward``: saved tensors, and any attribute.

    ``needs_input_grad[i]`` says whether the i-th argument needs a gradient.
    """

    function: type[Function]
    needs_input_grad: tuple = ()
    _dirty: tuple = ()
    _non_differentiable: tuple = ()

    @property
    def name(self) -> str:
        return self.function.__name__

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors (inputs, outputs or new ones) for ``backward``, which finds them in ``saved_tensors``."""
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple:
        """What was saved. RuntimeError if it was freed, or changed in place since."""
        saved = self.saved
        return tuple(wrap(a) if a is not None and not isinstance(a, Tensor) else a for a in saved[:-1])

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that ``forward`` changed these inputs in place."""
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
        outputs = result if isinstance(result, tuple) else (result,)
        if mode.enabled and any(ctx.needs):
            outputs = _record(ctx, args, outputs)
        return outputs if isinstance(result, tuple) else outputs[0]


def _record(ctx: Context, args: tuple, results: tuple) -> tuple:
    """Put a user's operator on the tape; an output that is an input unchanged becomes a tensor of its own."""
    outputs = []
    for result in results:
        if not isinstance(result, Tensor) or any(result is d for d in ctx._dirty) or not any(result is a for a in args):
            outputs.append(result)
        else:
            outputs.append(wrap(result._data.view()))
    tensors = tuple(y for y in outputs if isinstance(y, Tensor))
    # The last saved value is a sentinel: `saved` stays a tuple however many there are.
    ctx._saved = (*(raw(t) for t in ctx._to_save), None)
    record(ctx, args, [raw(a) for a in args], tensors)
    for y in ctx._non_differentiable:
        for t in tensors:
            if t._data is y._data:
                t._edge, t._requires_grad = None, False
    return tuple(outputs)
