"""The multilayer perceptron."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from minidl import nn
from minidl.tensor import Tensor


class MLP(nn.Module):
    """Linear layers with ReLU between them, on the flattened picture.

    Args:
        image_size: (H, W), or one number for both.
        channels: of the picture.
        classes: how many scores come out.
        hidden: the widths of the layers between.

    Shape: (N, channels, H, W), or anything of as many values a sample, → (N, classes).
    """

    def __init__(
        self,
        image_size: int | tuple[int, int] = 28,
        channels: int = 1,
        classes: int = 10,
        hidden: Sequence[int] = (256, 128),
    ) -> None:
        super().__init__()
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        widths = [channels * math.prod(size), *hidden, classes]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        *inner, last = self.layers
        for layer in inner:
            x = layer(x).relu()
        return last(x)
