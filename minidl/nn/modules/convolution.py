"""Convolutions and transposed convolutions in one, two and three dimensions: one layer each, the dimension a class."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import minidl.nn.functional as F
from minidl import creation
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]


def tupled(value: Any, n: int) -> tuple:
    """A number repeated ``n`` times, or a sequence as a tuple."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


class _Conv(Module):
    ndim: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups or out_channels % groups:
            which = "in_channels" if in_channels % groups else "out_channels"
            raise ValueError(f"{which} must be divisible by groups ({in_channels} and {out_channels} by {groups})")
        modes = ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"padding_mode must be one of {modes}, but got padding_mode='{padding_mode}'")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = tupled(kernel_size, self.ndim), tupled(stride, self.ndim)
        self.dilation, self.output_padding = tupled(dilation, self.ndim), tupled(output_padding, self.ndim)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
            self.padding: Any = padding
        else:
            self.padding = tupled(padding, self.ndim)
        self.padding_mode = padding_mode
        outer, inner = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (outer, inner // groups, *self.kernel_size)
        self.weight = Parameter(creation.empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(creation.empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values: uniform in ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        parts = [str(self.in_channels), str(self.out_channels)]
        parts += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != (0,) * self.ndim:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.ndim:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * self.ndim:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _ConvNd(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Any) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._sides(), mode=self.padding_mode), 0
        function = getattr(F, f"conv{self.ndim}d")
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _sides(self) -> list[int]:
        """The padding as ``F.pad`` wants it: before and after, from the last dimension to the first."""
        if self.padding == "valid":
            return [0] * (2 * self.ndim)
        sides = []
        for i in reversed(range(self.ndim)):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                sides += [total // 2, total - total // 2]
            else:
                sides += [self.padding[i]] * 2
        return sides


class Conv1d(_ConvNd):
    """``functional.conv1d`` with a learned ``weight`` (out, in / groups, k) and ``bias`` (out,)."""

    ndim = 1


class Conv2d(_ConvNd):
    """``functional.conv2d`` with a learned ``weight`` (out, in / groups, kh, kw) and ``bias`` (out,)."""

    ndim = 2


class Conv3d(_ConvNd):
    """``functional.conv3d`` with a learned ``weight`` (out, in / groups, kd, kh, kw) and ``bias`` (out,)."""

    ndim = 3


class _ConvTransposeNd(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Any, output_size: Any = None) -> Any:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        function = getattr(F, f"conv_transpose{self.ndim}d")
        return function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives ``output_size``: several input sizes would come from one output size."""
        wanted = tuple(output_size)[-self.ndim :]
        if len(tuple(output_size)) not in (self.ndim, input.ndim):
            raise ValueError(f"output_size must have {self.ndim} or {input.ndim} elements (got {len(output_size)})")
        smallest = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-self.ndim :], self.stride, self.padding, self.dilation, self.kernel_size
            )
        )
        largest = tuple(m + s - 1 for m, s in zip(smallest, self.stride))
        if any(not a <= w <= b for a, w, b in zip(smallest, wanted, largest)):
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {smallest} to {largest}"
            )
        return tuple(w - a for w, a in zip(wanted, smallest))


class ConvTranspose1d(_ConvTransposeNd):
    """``functional.conv_transpose1d`` with a learned ``weight`` (in, out / groups, k) and ``bias`` (out,)."""

    ndim = 1


class ConvTranspose2d(_ConvTransposeNd):
    """``functional.conv_transpose2d`` with a learned ``weight`` (in, out / groups, kh, kw) and ``bias`` (out,)."""

    ndim = 2


class ConvTranspose3d(_ConvTransposeNd):
    """``functional.conv_transpose3d`` with a learned ``weight`` (in, out / groups, kd, kh, kw) and ``bias`` (out,)."""

    ndim = 3
