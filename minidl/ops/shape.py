"""Views: operators that look at the same memory in another shape. Memory allowing, they copy nothing."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.autograd.inplace import parent_of
from minidl.autograd.tape import Operator, apply, owner_of, sum_to
from minidl.backends import namespace
from minidl.ops.common import broadcast_shapes as common_shape
from minidl.ops.common import ints, is_channels_last, normalize_dim, normalize_dims, only_tensors
from minidl.tensor import Tensor, raw, wrap

__all__ = [
    "adjoint",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_shapes",
    "broadcast_tensors",
    "broadcast_to",
    "expand",
    "expand_as",
    "flatten",
    "moveaxis",
    "movedim",
    "permute",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
]

METHODS = [
    *(name for name in __all__ if not name.startswith(("atleast", "broadcast"))),
    "broadcast_to",
    "reshape_as",
    "unfold",
    "view",
    "view_as",
]
INPLACE: list[str] = []
# In-place forms that change how a tensor looks at its memory, not what is in it.
INPLACE_VIEWS = ["squeeze", "swapaxes", "swapdims", "t", "transpose", "unsqueeze"]
PROPERTIES = ["H", "T", "mH", "mT"]


# -------------------------------------------------------------------------------------------------------- the operators


class Reshape(Operator):
    """y = x laid out anew, the order of elements the same: a view where the memory allows it;  ∂x = g laid out as x."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        return x.reshape(self.shape)

    def backward(self, g: Any) -> Any:
        return g.reshape(self.original)


class Expand(Operator):
    """y = x repeated along axes of size 1 without copying (stride 0);  ∂x = Σ g over them."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        if x.size == math.prod(self.shape):
            return x.reshape(self.shape)
        return same_access(namespace(x).broadcast_to(x, self.shape), x)

    def backward(self, g: Any) -> Any:
        return sum_to(g, self.original)


class Permute(Operator):
    """y = x with its axes in the order ``dims``;  ∂x = g with its axes put back."""

    is_view = True

    def __init__(self, dims: tuple[int, ...]) -> None:
        self.dims = dims

    def forward(self, x: Any) -> Any:
        return x.transpose(self.dims)

    def backward(self, g: Any) -> Any:
        inverse = tuple(sorted(range(len(self.dims)), key=self.dims.__getitem__))
        return apply(Permute(inverse), g)


class Unfold(Operator):
    """y = windows of ``size`` along ``dimension``, a ``step`` apart, in a new last axis;  ∂x = Σ g over the windows that hold
    it."""

    is_view = True

    def __init__(self, dim: int, size: int, step: int) -> None:
        self.dim, self.size, self.step = dim, size, step

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        stride = x.strides[self.dim]
        count = (x.shape[self.dim] - self.size) // self.step + 1
        shape = (*x.shape[: self.dim], count, *x.shape[self.dim + 1 :], self.size)
        strides = (*x.strides[: self.dim], stride * self.step, *x.strides[self.dim + 1 :], stride)
        return namespace(x).lib.stride_tricks.as_strided(x, shape, strides)

    def backward(self, g: Any) -> Any:
        return apply(Fold(self), g)


class Fold(Operator):
    """y[i] = Σ x over all windows' places that look at i;  ∂x = g[i] at each.

    The adjoint of :class:`Unfold`.
    """

    def __init__(self, windows: Unfold) -> None:
        self.windows = windows

    def forward(self, x: Any) -> Any:
        dim, step = self.windows.dim, self.windows.step
        y = namespace(x).zeros(self.windows.shape, x.dtype)
        reach = x.shape[dim] * step
        for place in range(self.windows.size):
            y[(slice(None),) * dim + (slice(place, place + reach, step),)] += x[..., place]
        return y

    def backward(self, g: Any) -> Any:
        return apply(self.windows.again(), g)


def same_access(view: Any, x: Any) -> Any:
    """A view that may be written to if ``x`` may: NumPy hands out some as read-only."""
    if hasattr(x, "flags") and getattr(x.flags, "writeable", False) and not view.flags.writeable:
        view.flags.writeable = True
    return view


# ---------------------------------------------------------------------------------------------------- shapes and checks


def sizes_of(name: str, argument: str, positional: tuple, keyword: Any) -> tuple[int, ...]:
    """Sizes given as ``f(2, 3)``, ``f((2, 3))`` or by keyword."""
    if keyword is not None:
        positional = (keyword,) if isinstance(keyword, (tuple, list)) else ((keyword,),)
    elif not positional:
        raise TypeError(f"{name}() missing 1 required positional arguments: {argument!r}")
    try:
        return ints(positional)
    except TypeError:
        raise TypeError(
            f"{name}(): argument {argument!r} must be ints or one tuple of ints, got {positional}"
        ) from None


def infer_size(shape: tuple[int, ...], size: int, name: str) -> tuple[int, ...]:
    """``shape`` with its -1, if any, worked out. RuntimeError if ``size`` elements do not fit."""
    if shape.count(-1) > 1:
        raise RuntimeError(f"{name}: only one dimension can be inferred, got shape {list(shape)}")
    if any(n < -1 for n in shape):
        raise RuntimeError(f"{name}: invalid shape dimension in {list(shape)}")
    known = math.prod(n for n in shape if n != -1)
    if -1 in shape:
        if known == 0 and size == 0:
            raise RuntimeError(
                f"{name}: cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
                "dimension size -1 can be any value and is ambiguous; give every size"
            )
        if known and size % known == 0:
            return tuple(size // known if n == -1 else n for n in shape)
    elif known == size:
        return shape
    raise RuntimeError(f"{name}: shape '{list(shape)}' is invalid for input of size {size}")


# -------------------------------------------------------------------------------------------------------------- reshape


def reshape(input: Any, *sizes: Any, shape: Any = None) -> Any:
    """``input`` in another ``shape``; one size may be -1, which is inferred. A view if the memory allows it.

    RuntimeError if the number of elements would change.
    """
    sizes = sizes_of("reshape", "shape", sizes, shape)
    return apply(Reshape(infer_size(sizes, raw(input).size, "reshape")), input)


def reshape_as(input: Any, other: Any) -> Any:
    """``input`` in the shape of ``other``."""
    return reshape(input, tuple(other.shape))


def view(input: Any, *sizes: Any, size: Any = None, dtype: Any = None) -> Any:
    """``input`` in another shape, never copied: ``view(2, -1)``. RuntimeError where the memory does not allow it.

    The exception are tensors in channels-last memory, which convolutions produce on the CPU, and what looks into them:
    they look row-major to whoever writes ``outputs.view(-1, 3136)`` after a pooling layer, and are copied.

    ``view(dtype)`` reads the same bytes as another element type; the last size changes with the element's size.
    """
    if dtype is not None or (len(sizes) == 1 and isinstance(sizes[0], (dtypes.dtype, type))):
        return _view_bytes(input, dtypes.as_dtype(sizes[0] if dtype is None else dtype))
    sizes = sizes_of("view", "size", sizes, size)
    x = raw(input)
    result = apply(Reshape(infer_size(sizes, x.size, "view")), input)
    if x.size > 1 and owner_of(raw(result)) is not owner_of(x) and not _row_major_but_for_us(input):
        raise RuntimeError(
            f"view: view size is not compatible with input tensor's size and stride: shape {list(x.shape)} with "
            f"strides {[n // x.itemsize for n in x.strides]} cannot be seen as {list(sizes)} without copying (at "
            "least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return result


def _row_major_but_for_us(input: Any) -> bool:
    """Whether ``input`` lies in memory as it does only because a convolution left the channels innermost: looked at
    alike, a row-major tensor in the place of its root could be seen in any shape."""
    views = []
    while isinstance(input, Tensor) and input._view is not None:
        views.append(input._view.operator)
        input = parent_of(input._view)
    if None in views or not is_channels_last(raw(input)):
        return False
    x = np.empty(raw(input).shape, np.uint8)
    for look in reversed(views):
        x = look.again().forward(x)
    return x.flags.c_contiguous


def _view_bytes(input: Any, wanted: dtypes.dtype) -> Any:
    x = raw(input)
    if wanted.itemsize != x.itemsize:
        if not x.ndim:
            raise RuntimeError(
                f"view: self.dim() cannot be 0 to view {dtypes.from_numpy_dtype(x.dtype)} as {wanted} (different "
                "element sizes)"
            )
        if (x.shape[-1] * x.itemsize) % wanted.itemsize:
            raise RuntimeError(
                f"view: self.size(-1) must be divisible by {wanted.itemsize // x.itemsize} to view "
                f"{dtypes.from_numpy_dtype(x.dtype)} as {wanted} (different element sizes), but got {x.shape[-1]}"
            )
        if x.size and x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
            raise RuntimeError(f"view: self.stride(-1) must be 1 to view as {wanted}; use .contiguous() first")
    if x.ndim and (x.shape[-1] < 2 or not x.size):  # NumPy wants the stride even of a single element to be its size
        x = namespace(x).lib.stride_tricks.as_strided(x, x.shape, (*x.strides[:-1], x.itemsize))
    result = wrap(x.view(wanted.numpy))
    if isinstance(input, Tensor):
        result._counter = input._counter
    return result


def view_as(input: Any, other: Any) -> Any:
    """``input`` viewed in the shape of ``other``."""
    return view(input, tuple(other.shape))


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """``input`` with the dimensions ``start_dim`` … ``end_dim`` made one. A 0-d tensor gives shape (1,)."""
    start, end = (normalize_dim(d, input.ndim, "flatten") for d in (start_dim, end_dim))
    if start > end:
        raise RuntimeError(f"flatten() has invalid args: start_dim ({start}) cannot come after end_dim ({end})")
    shape = tuple(input.shape)
    if shape and start == end:
        return input
    return apply(Reshape((*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])), input)


def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """``input`` with dimension ``dim`` split into several of ``sizes``, one of which may be -1."""
    dim = normalize_dim(dim, input.ndim, "unflatten")
    sizes = ints((tuple(sizes),))
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if not input.ndim:
        raise RuntimeError(f"unflatten: dimension specified as {dim} but tensor has no dimensions")
    try:
        sizes = infer_size(sizes, input.shape[dim], "unflatten")
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({input.shape[dim]}) "
            f"in the input tensor of shape {list(input.shape)}"
        ) from None
    return apply(Reshape((*input.shape[:dim], *sizes, *input.shape[dim + 1 :])), input)


def ravel(input: Any) -> Any:
    """``input`` as one dimension; a view if the memory allows it."""
    return apply(Reshape((raw(input).size,)), input)


def squeeze(input: Any, dim: Any = None) -> Any:
    """``input`` without its dimensions of size 1: all of them, or those in ``dim`` (an int or several)."""
    dims = normalize_dims(dim, input.ndim, "squeeze")
    return apply(Reshape(tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in dims)), input)


def unsqueeze(input: Any, dim: int) -> Any:
    """``input`` with a new dimension of size 1 at ``dim``."""
    dim = normalize_dim(dim, input.ndim + 1, "unsqueeze")
    return apply(Reshape((*input.shape[:dim], 1, *input.shape[dim:])), input)


# ---------------------------------------------------------------------------------------------------- order of the axes


def permute(input: Any, *order: Any, dims: Any = None) -> Any:
    """``input`` with its dimensions in the order ``dims``."""
    order = sizes_of("permute", "dims", order, dims) if order or dims is not None else ()
    if len(order) != input.ndim:
        raise RuntimeError(
            f"permute: number of dimensions in the tensor input does not match the length of the desired ordering of "
            f"dimensions i.e. input.dim() = {input.ndim} is not equal to len(dims) = {len(order)}"
        )
    return apply(Permute(normalize_dims(order, input.ndim, "permute")), input)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """``input`` with two dimensions exchanged."""
    dim0, dim1 = (normalize_dim(d, input.ndim, "transpose") for d in (dim0, dim1))
    dims = list(range(input.ndim))
    if dims:
        dims[dim0], dims[dim1] = dim1, dim0
    return apply(Permute(tuple(dims)), input)


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """``transpose`` under NumPy's name."""
    return transpose(input, axis0, axis1)


def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """``transpose`` under another name."""
    return transpose(input, dim0, dim1)


def t(input: Any) -> Any:
    """The transpose of a matrix; a vector or a 0-d tensor as it is."""
    if input.ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D; use .mT or transpose"
        )
    return transpose(input, 0, -1)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """``input`` with the dimensions ``source`` moved to the places ``destination``; the others keep their order."""
    source, destination = (tuple(d) if isinstance(d, (tuple, list)) else (d,) for d in (source, destination))
    if len(source) != len(destination):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(source)} dims) should contain the same number "
            f"of dims as destination ({list(destination)} dims)"
        )
    whence, whither = (tuple(normalize_dim(d, input.ndim, "movedim") for d in dims) for dims in (source, destination))
    for what, dims in (("source", whence), ("destination", whither)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{what}` ({list(dims)})")
    if not input.ndim:
        return apply(Permute(()), input)
    order = [d for d in range(input.ndim) if d not in whence]
    for where, dim in sorted(zip(whither, whence)):
        order.insert(where, dim)
    return apply(Permute(tuple(order)), input)


def moveaxis(input: Any, source: Any, destination: Any) -> Any:
    """``movedim`` under NumPy's name."""
    return movedim(input, source, destination)


def adjoint(input: Any) -> Any:
    """The last two dimensions exchanged (and conjugated, which changes nothing for real numbers)."""
    return _matrix_transpose(input, "adjoint()")


def _matrix_transpose(input: Any, name: str) -> Any:
    if input.ndim == 1:
        raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return transpose(input, -2, -1) if input.ndim else input


def T(input: Any) -> Any:  # noqa: N802 - PyTorch's name
    """All dimensions in reverse order."""
    return apply(Permute(tuple(range(input.ndim))[::-1]), input)


def H(input: Any) -> Any:  # noqa: N802
    """The (conjugate) transpose of a matrix."""
    if input.ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {input.ndim}-D tensor. For batches of "
            "matrices, use tensor.mH"
        )
    return transpose(input, 0, -1)


def mT(input: Any) -> Any:  # noqa: N802
    """The last two dimensions exchanged."""
    return _matrix_transpose(input, "mT")


def mH(input: Any) -> Any:  # noqa: N802
    """The last two dimensions exchanged (and conjugated)."""
    return _matrix_transpose(input, "mH")


# --------------------------------------------------------------------------------------------------------------- expand


def expand(input: Any, *sizes: Any, size: Any = None, implicit: bool = False) -> Any:
    """``input`` stretched to ``sizes`` along its dimensions of size 1 (-1: as it is), without copying."""
    sizes = sizes_of("expand", "size", sizes, size) if sizes or size is not None else ()
    extra = len(sizes) - input.ndim
    if extra < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(sizes)}: {list(sizes)}) must be greater or equal to the "
            f"number of dimensions in the tensor ({input.ndim}: {list(input.shape)})"
        )
    shape = tuple(input.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(sizes))
    for axis, n in enumerate(shape):
        if n < 0:
            raise RuntimeError(
                f"expand: The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing dimension "
                f"{axis}"
            )
        if axis >= extra and input.shape[axis - extra] not in (1, n):
            raise RuntimeError(
                f"expand: The expanded size of the tensor ({n}) must match the existing size "
                f"({input.shape[axis - extra]}) at non-singleton dimension {axis}.  Target sizes: {list(sizes)}.  "
                f"Tensor sizes: {list(input.shape)}"
            )
    return apply(Expand(shape), input)


def expand_as(input: Any, other: Any) -> Any:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, tuple(other.shape))


def broadcast_to(input: Any, size: Any) -> Any:
    """``input`` expanded to ``size``."""
    return expand(input, tuple(size))


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that tensors of these shapes (tuples or ints) broadcast to. RuntimeError if they do not."""
    shapes = tuple(tuple(s) if isinstance(s, (tuple, list)) else (operator.index(s),) for s in shapes)
    if any(n < 0 for s in shapes for n in s):
        raise ValueError(f"broadcast_shapes: a dimension has negative length in {shapes}")
    return common_shape("broadcast_shapes", *(_Shape(s) for s in shapes))


class _Shape:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def broadcast_tensors(*tensors: Any) -> tuple:
    """All tensors expanded to their common shape."""
    tensors = unpack(tensors)
    shape = common_shape("broadcast_tensors", *tensors)
    return tuple(expand(x, shape) for x in tensors)


def unpack(tensors: tuple) -> tuple:
    """Tensors given as ``f(a, b)`` or ``f([a, b])``."""
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors


def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors with one dimension, others as they are. A tuple for several."""
    return _each(tensors, lambda x: reshape(x, (1,)) if x.ndim == 0 else x)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions: a vector becomes a row."""
    return _each(tensors, lambda x: reshape(x, (1, *x.shape) if x.ndim else (1, 1)) if x.ndim < 2 else x)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions: a vector becomes (1, n, 1), a matrix (m, n, 1)."""

    def lift(x: Any) -> Any:
        if x.ndim > 2:
            return x
        return unsqueeze(x, -1) if x.ndim == 2 else reshape(x, (1, *(x.shape or (1,)), 1))

    return _each(tensors, lift)


def _each(tensors: tuple, function: Any) -> Any:
    several = len(tensors) != 1 or isinstance(tensors[0], (tuple, list))
    for x in unpack(tensors):
        only_tensors("atleast_1d, atleast_2d, atleast_3d", tensors=x)
    results = tuple(function(x) for x in unpack(tensors))
    return results if several else results[0]


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of ``size`` elements along ``dimension``, a ``step`` apart, in a new last dimension."""
    dim = normalize_dim(dimension, input.ndim, "unfold")
    if size < 0:
        raise RuntimeError(f"unfold: size is {size} but must be >= 0")
    if step <= 0:
        raise RuntimeError(f"unfold: step is {step} but must be > 0")
    length = input.shape[dim] if input.ndim else 1
    if size > length:
        raise RuntimeError(f"unfold: maximum size for tensor at dimension {dim} is {length} but size is {size}")
    if not input.ndim:
        return apply(Reshape((size,)), input) if size else input.reshape((1,))[:0]
    return apply(Unfold(dim, size, step), input)
