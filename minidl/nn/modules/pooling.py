"""Pooling over windows, in one, two and three dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

import minidl.nn.functional as F
from minidl.nn.module import Module
from minidl.nn.modules.convolution import tupled
from minidl.nn.modules.settings import Settings

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _MaxPool(Settings):
    ndim: ClassVar[int]
    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        stride = kernel_size if stride is None else stride
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        function = getattr(F, f"max_pool{self.ndim}d")
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The largest value of each window."""

    ndim = 1


class MaxPool2d(_MaxPool):
    """The largest value of each window."""

    ndim = 2


class MaxPool3d(_MaxPool):
    """The largest value of each window."""

    ndim = 3


class AvgPool1d(Settings):
    """The mean of each window."""

    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        one = lambda v: v if isinstance(v, tuple) else (v,)
        Module.__init__(self)
        self.kernel_size, self.padding = one(kernel_size), one(padding)
        self.stride = self.kernel_size if stride is None else one(stride)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPool(Settings):
    ndim: ClassVar[int]
    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        stride = kernel_size if stride is None else stride
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        function = getattr(F, f"avg_pool{self.ndim}d")
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool2d(_AvgPool):
    """The mean of each window."""

    ndim = 2


class AvgPool3d(_AvgPool):
    """The mean of each window."""

    ndim = 3


class _AdaptiveAvg(Settings):
    ndim: ClassVar[int]
    shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return getattr(F, f"adaptive_avg_pool{self.ndim}d")(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvg):
    """Means of windows that cover the input in ``output_size`` steps."""

    ndim = 1


class AdaptiveAvgPool2d(_AdaptiveAvg):
    """Means of windows that cover the input in ``output_size`` steps."""

    ndim = 2


class AdaptiveAvgPool3d(_AdaptiveAvg):
    """Means of windows that cover the input in ``output_size`` steps."""

    ndim = 3


class _AdaptiveMax(Settings):
    ndim: ClassVar[int]
    shown = ("output_size",)

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        function = getattr(F, f"adaptive_max_pool{self.ndim}d")
        return function(input, self.output_size, return_indices=self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Largest values of windows that cover the input in ``output_size`` steps."""

    ndim = 1


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Largest values of windows that cover the input in ``output_size`` steps."""

    ndim = 2


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Largest values of windows that cover the input in ``output_size`` steps."""

    ndim = 3


class _MaxUnpool(Module):
    ndim: ClassVar[int]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.padding = tupled(kernel_size, self.ndim), tupled(padding, self.ndim)
        self.stride = self.kernel_size if stride is None else tupled(stride, self.ndim)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        function = getattr(F, f"max_unpool{self.ndim}d")
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Maxima put back where they were, 0 everywhere else."""

    ndim = 1


class MaxUnpool2d(_MaxUnpool):
    """Maxima put back where they were, 0 everywhere else."""

    ndim = 2


class MaxUnpool3d(_MaxUnpool):
    """Maxima put back where they were, 0 everywhere else."""

    ndim = 3
