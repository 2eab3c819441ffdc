"""The Tensor: an array, and its place on the tape.

Only state lives here. Operators are in :mod:`minidl.ops` and become methods in :mod:`minidl.methods`; what a tensor
does on the tape is in :mod:`minidl.autograd`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import backends, dtypes

if TYPE_CHECKING:
    from minidl.autograd.tape import Operator


class View:
    """How a view was made: the tensor it looks into and the array that was then in it, the operator that looks (None
    if it has several outputs), ``why`` it may not be changed in place on the tape (empty if it may), the tensor at the
    end of that line, and the history it was made from."""

    __slots__ = ("array", "operator", "parent", "rebased", "root", "why")

    refresh: Callable[[Tensor], None]  # brings a view's history up to date; given by minidl.autograd.inplace

    def __init__(self, parent: Tensor, operator: Operator | None, why: str = "") -> None:
        self.parent = parent
        self.array = parent._data
        self.operator = operator
        self.why = why
        self.root = parent if parent._view is None else parent._view.root
        self.rebased = self.root._rebased


class Tensor:
    """A multi-dimensional array that remembers how it was computed.

    Attributes
    ----------
    data        the same values, outside the tape
    grad        the gradient, a Tensor of the same shape, after ``backward()``; None before
    shape       sizes, one an axis
    dtype       element type, such as ``minidl.float32``
    device      where the array lives

    Inside: ``_data`` is the array; ``_edge`` is ``(operator, which of its outputs)``, None for a leaf; ``_counter`` is
    a one-element list that counts changes in place and is shared by all tensors that share memory; ``_view`` says how a
    view was made; ``_rebased`` counts how often a change in place gave the tensor a new history.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_counter",
        "_data",
        "_edge",
        "_grad",
        "_hooks",
        "_rebased",
        "_requires_grad",
        "_view",
    )

    __array_priority__ = 1000  # NumPy's operators step back: array * Tensor is a Tensor

    if TYPE_CHECKING:  # what slots say no types of, and methods that minidl.methods attaches
        _data: Any
        _hooks: list | None
        _view: View | None
        _counter: list[int]

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

    def __init__(self, *data: Any, requires_grad: bool = False) -> None:
        """``Tensor([1, 2])``: the values in the default type; a Tensor's or an array's memory, as it is.
        ``Tensor(2, 3)``: of that shape, its values to be filled in; ``Tensor()``: empty. See :func:`minidl.tensor`.

        TypeError for a single float, or several of anything but sizes.
        """
        numpy_type = dtypes.get_default_dtype().numpy
        if all(isinstance(n, int) for n in data):
            self._set(np.zeros(data or 0, numpy_type), requires_grad)
            return
        if len(data) != 1 or isinstance(data[0], float):
            raise TypeError(f"Tensor(): takes sizes, or one sequence, array or Tensor, got {data}; use minidl.tensor")
        array = raw(data[0])
        self._set(array if hasattr(array, "dtype") else np.asarray(array, dtype=numpy_type), requires_grad)

    def _set(self, array: Any, requires_grad: bool = False) -> None:
        if isinstance(array, np.generic):  # NumPy turns 0-d results into scalars
            array = np.asarray(array)
        self._data = array
        self._requires_grad = requires_grad
        self._edge: tuple[Operator, int] | None = None
        self._counter = [0]
        self._view = None
        self._hooks = None
        self._rebased = 0
        self._grad = None

    # ------------------------------------------------------------------------------------------------------ properties

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.from_numpy_dtype(self._data.dtype)

    @property
    def device(self) -> backends.device:
        return backends.device_of(self._data)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def itemsize(self) -> int:
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    @property
    def requires_grad(self) -> bool:
        if self._view is not None:
            try:
                self.edge()  # the root may have become differentiable since
            except RuntimeError:  # a view that cannot follow its changed root: using it says so
                return True
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not self.dtype.is_floating_point:
            raise RuntimeError(
                f"only tensors of floating point dtype can require gradients, and this one is {self.dtype}; "
                "convert it first, for example with .float()"
            )
        if self._edge is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf tensors, and this one was computed by "
                f"{self._edge[0].name}; use .detach() to get its values outside the tape"
            )
        self._requires_grad = bool(value)

    @property
    def grad(self) -> Any:
        """The gradient that backward has added up here; None before."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                name = type(value).__name__
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {name}")
            if value.shape != self.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                    f"'{list(self.shape)}'. Please ensure that the gradient and the tensor are the same size"
                )
            if value._data.dtype != self._data.dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{value.dtype}' to a tensor with dtype "
                    f"'{self.dtype}': they must be the same"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def is_leaf(self) -> bool:
        """True for a tensor that no recorded operator computed: inputs, parameters, constants."""
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Operator | None:
        """The operator that computed this tensor, None for a leaf."""
        edge = self.edge()
        return None if edge is None else edge[0]

    @property
    def _version(self) -> int:
        """How many times the values were changed in place."""
        return self._counter[0]

    # ---------------------------------------------------------------------------------------------- place on the tape

    def edge(self) -> tuple[Operator, int] | None:
        """``(operator, output)`` that computed this tensor. A view whose root was changed in place since it was made is
        brought up to date first: its history is the root's new one, looked at again."""
        view = self._view
        if view is not None and view.rebased != view.root._rebased:
            View.refresh(self)
        return self._edge


def wrap(array: Any) -> Tensor:
    """A Tensor around ``array``, as it is, outside the tape."""
    tensor = Tensor.__new__(Tensor)
    tensor._set(array)
    return tensor


def raw(value: Any) -> Any:
    """The array inside a Tensor; anything else as it is."""
    return value._data if isinstance(value, Tensor) else value
