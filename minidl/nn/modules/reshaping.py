"""Layers that rearrange or resample: flatten, fold, upsample, shuffle; and distances between vectors."""

from __future__ import annotations

from typing import Any

import minidl.nn.functional as F
from minidl.nn.modules.settings import Settings

__all__ = [
    "ChannelShuffle",
    "CosineSimilarity",
    "Flatten",
    "Fold",
    "PairwiseDistance",
    "PixelShuffle",
    "PixelUnshuffle",
    "Unflatten",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
]


class Flatten(Settings):
    """Dimensions ``start_dim`` to ``end_dim`` made one."""

    shown = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return input.flatten(self.start_dim, self.end_dim)


class Unflatten(Settings):
    """Dimension ``dim`` made several, of the given sizes."""

    shown = ("dim", "unflattened_size")

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"unflattened_size must be a tuple of sizes, got {type(unflattened_size).__name__}")
        for place, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                kind = type(size).__name__
                raise TypeError(
                    f"unflattened_size must be tuple of ints, but found element of type {kind} at pos {place}"
                )
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return input.unflatten(self.dim, self.unflattened_size)


class Unfold(Settings):
    """Windows of an image as columns."""

    shown = ("kernel_size", "dilation", "padding", "stride")

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(Settings):
    """Columns added up into an image."""

    shown = ("output_size", "kernel_size", "dilation", "padding", "stride")

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)


class Upsample(Settings):
    """``functional.interpolate``."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        if isinstance(scale_factor, tuple):
            scale_factor = tuple(float(factor) for factor in scale_factor)
        elif scale_factor is not None:
            scale_factor = float(scale_factor)
        self._keep(locals())
        self.name = type(self).__name__

    def forward(self, input: Any) -> Any:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        what = f"scale_factor={self.scale_factor!r}" if self.scale_factor is not None else f"size={self.size!r}"
        return f"{what}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsampling by the nearest value."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Bilinear upsampling with aligned corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Settings):
    """(…, C r², H, W) to (…, C, H r, W r)."""

    shown = ("upscale_factor",)

    def __init__(self, upscale_factor: int) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.pixel_shuffle(input, self.upscale_factor)


class PixelUnshuffle(Settings):
    """(…, C, H r, W r) to (…, C r², H, W)."""

    shown = ("downscale_factor",)

    def __init__(self, downscale_factor: int) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.pixel_unshuffle(input, self.downscale_factor)


class ChannelShuffle(Settings):
    """Channels dealt out over ``groups``."""

    shown = ("groups",)

    def __init__(self, groups: int) -> None:
        self._keep(locals())

    def forward(self, input: Any) -> Any:
        return F.channel_shuffle(input, self.groups)


class CosineSimilarity(Settings):
    """x₁·x₂ / (‖x₁‖ ‖x₂‖) along ``dim``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self._keep(locals())

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Settings):
    """‖x₁ - x₂ + eps‖ₚ along the last dimension."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self._keep(locals())
        self.norm = p

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
