"""Residual networks (He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image Recognition").

A layer that can do no good should at least do no harm, yet a plain deep network trains worse than a shallow one. So let
each block learn the *difference* from its input, y = relu(x + F(x)): zero weights make it the identity, and the gradient
reaches every block by the sum, undiminished.

Names of modules and of the state dict are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl import nn
from minidl.nn import init
from minidl.tensor import Tensor


def _conv(channels: int, filters: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Without a bias: the normalisation after it has a shift."""
    return nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions of 3 × 3 beside a shortcut (figure 5, left): (N, C, H, W) → (N, width, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(channels, width, 3, stride), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 × 1 to fewer channels, 3 × 3 among these, 1 × 1 to four times as many (figure 5, right).

    The stride is in the 3 × 3, as torchvision has it (the paper has it in the first 1 × 1): no place is skipped unread.
    """

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(channels, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Stages of residual blocks, each half as high and wide and with twice the channels of the one before (table 1).

    (N, channels, H, W) → the stem → stages ``layer1``, ``layer2``, … → the mean over places → (N, num_classes).

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        layers: how many blocks each stage has.
        num_classes: how many scores come out.
        zero_init_residual: begin with every block the identity, its last normalisation's weight being 0 (Goyal et al.
            2017, section 5.1).
        channels: of the picture.
        widths: of the stages; before the expansion of a Bottleneck.
        stem: "imagenet", a convolution of 7 × 7 and a pooling, which quarter the picture; or "small", a convolution of
            3 × 3, and a pooling of 2 × 2 that halves it.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        *,
        channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        if stem not in ("imagenet", "small"):
            raise ValueError(f"ResNet knows the stems 'imagenet' and 'small', not {stem!r}")
        if len(layers) != len(widths) or not layers:
            raise ValueError(f"ResNet needs a width for each stage, but got layers={layers} and widths={widths}")
        large = stem == "imagenet"
        self.conv1 = (
            nn.Conv2d(channels, widths[0], 7, 2, padding=3, bias=False) if large else _conv(channels, widths[0], 3)
        )
        self.bn1, self.relu = nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if large else nn.MaxPool2d(2)
        self.stages = len(layers)
        reached = widths[0]
        for i, (blocks, width) in enumerate(zip(layers, widths)):
            self.add_module(f"layer{i + 1}", _stage(block, reached, width, blocks, stride=1 if i == 0 else 2))
            reached = width * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(reached, num_classes)
        self._begin(zero_init_residual)

    def _begin(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
                init.zeros_((module.bn2 if isinstance(module, BasicBlock) else module.bn3).weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def _stage(block: Any, channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """``blocks`` blocks; the first has the stride and, where shapes differ, a shortcut of 1 × 1 (section 3.3, option B)."""
    out, shortcut = width * block.expansion, None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(_conv(channels, out, 1, stride), nn.BatchNorm2d(out))
    return nn.Sequential(block(channels, width, stride, shortcut), *[block(out, width) for _ in range(blocks - 1)])


def resnet18(**settings: Any) -> ResNet:
    """18 layers, 11,689,512 parameters for ImageNet."""
    return ResNet(BasicBlock, (2, 2, 2, 2), **settings)


def resnet34(**settings: Any) -> ResNet:
    """34 layers, 21,797,672 parameters for ImageNet."""
    return ResNet(BasicBlock, (3, 4, 6, 3), **settings)


def resnet50(**settings: Any) -> ResNet:
    """50 layers, 25,557,032 parameters for ImageNet."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **settings)


def resnet101(**settings: Any) -> ResNet:
    """101 layers, 44,549,160 parameters for ImageNet."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **settings)


def resnet152(**settings: Any) -> ResNet:
    """152 layers, 60,192,808 parameters for ImageNet."""
    return ResNet(Bottleneck, (3, 8, 36, 3), **settings)


def resnet_small(
    image_size: int | tuple[int, int] = 28,
    channels: int = 1,
    classes: int = 10,
    widths: Sequence[int] = (32, 64, 128),
    layers: Sequence[int] = (1, 1, 1),
) -> ResNet:
    """A ResNet for pictures of 28 × 28 or so: three stages, a stem that halves the picture once. The mean over places
    makes it fit any ``image_size`` of at least 2."""
    if min(image_size if isinstance(image_size, tuple) else (image_size,)) < 2:
        raise ValueError(f"resnet_small needs pictures of at least 2 x 2, but image_size is {image_size}")
    return ResNet(BasicBlock, layers, classes, zero_init_residual=True, channels=channels, widths=widths, stem="small")
