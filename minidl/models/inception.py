"""GoogLeNet (Szegedy et al. 2015, "Going Deeper with Convolutions"), of Inception blocks.

Which size of filter is right? All of them: a block looks with 1 × 1, 3 × 3 and 5 × 5 side by side and joins what they
find, and convolutions of 1 × 1 first thin the channels out, so that this stays cheap (section 4, figure 2b).

Here in its batch-norm form (Ioffe & Szegedy 2015): every convolution is normalised. Names of the state dict are
torchvision's, whose "5 × 5" branch in fact is 3 × 3 (its trained weights are made so); so it is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minidl import nn, ops
from minidl.nn import functional as F
from minidl.nn import init
from minidl.tensor import Tensor


class GoogLeNetOutputs(NamedTuple):
    """What a GoogLeNet in training gives: the scores, and those of the two classifiers half-way."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class BasicConv2d(nn.Module):
    """relu(batch_norm(conv(x))). Settings are those of Conv2d."""

    def __init__(self, channels: int, filters: int, **settings: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, bias=False, **settings)
        self.bn = nn.BatchNorm2d(filters, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class InceptionBlock(nn.Module):
    """Four views of one input, joined channel by channel (figure 2b): 1 × 1; 1 × 1 then 3 × 3; the same again (of the
    paper's 5 × 5); a pool then 1 × 1.

    (N, channels, H, W) → (N, n1 + n3 + n5 + pool, H, W); ``thin3`` and ``thin5`` are the widths before the larger filters.
    """

    def __init__(self, channels: int, n1: int, thin3: int, n3: int, thin5: int, n5: int, pool: int) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(channels, n1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(channels, thin3, kernel_size=1), BasicConv2d(thin3, n3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(channels, thin5, kernel_size=1), BasicConv2d(thin5, n5, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True), BasicConv2d(channels, pool, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return ops.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier half-way, which gives the layers below it a gradient of their own (section 5)."""

    def __init__(self, channels: int, classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv = BasicConv2d(channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4)))
        return self.fc2(self.dropout(F.relu(self.fc1(x.flatten(1)))))


# Table 1: the blocks' widths, in the order of InceptionBlock's arguments.
_3A, _3B = (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)
_4A, _4B, _4C = (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)
_4D, _4E = (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)
_5A, _5B = (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)


class Inception(nn.Module):
    """GoogLeNet, table 1: 6,624,904 parameters for ImageNet, 13,004,888 with the auxiliary classifiers.

    (N, 3, H, W) → (N, num_classes); in training with ``aux_logits`` a :class:`GoogLeNetOutputs`, whose losses the paper
    adds up as logits + 0.3 (aux_logits1 + aux_logits2).

    Args:
        num_classes: how many scores come out.
        aux_logits: whether there are classifiers after blocks 4a and 4d.
        transform_input: normalise pictures anew that were normalised for ImageNet, to mean 0.5 and deviation 0.5.
        dropout, dropout_aux: the probability that a value before the last layer is dropped.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.conv1 = BasicConv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = InceptionBlock(192, *_3A)
        self.inception3b = InceptionBlock(256, *_3B)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = InceptionBlock(480, *_4A)
        self.inception4b = InceptionBlock(512, *_4B)
        self.inception4c = InceptionBlock(512, *_4C)
        self.inception4d = InceptionBlock(512, *_4D)
        self.inception4e = InceptionBlock(528, *_4E)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = InceptionBlock(832, *_5A)
        self.inception5b = InceptionBlock(832, *_5B)
        self.aux1 = InceptionAux(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            _begin(self)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        if self.transform_input:
            x = _normalised_anew(x)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        with_aux = self.training and self.aux_logits
        aux1 = self.aux1(x) if with_aux and self.aux1 is not None else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if with_aux and self.aux2 is not None else None
        x = self.maxpool4(self.inception4e(x))
        x = self.avgpool(self.inception5b(self.inception5a(x))).flatten(1)
        scores = self.fc(self.dropout(x))
        return GoogLeNetOutputs(scores, aux2, aux1) if with_aux else scores


GoogLeNet = Inception


def _normalised_anew(x: Tensor) -> Tensor:
    """From ImageNet's means and deviations to 0.5 and 0.5."""
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    planes = [x[:, i : i + 1] * (s / 0.5) + (m - 0.5) / 0.5 for i, (m, s) in enumerate(zip(means, deviations))]
    return ops.cat(planes, 1)


def _begin(model: nn.Module) -> None:
    """Small weights, normally distributed and cut at two units; normalisations begin as the identity."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            init.trunc_normal_(module.weight, mean=0.0, std=0.01, a=-2, b=2)


class InceptionSmall(nn.Module):
    """Inception blocks for small pictures: a stem that halves the picture once, two blocks, a pool, two blocks.

    (N, channels, H, W) → (32, H/2, W/2) → (64, H/2, W/2) → (128, H/4, W/4) → the mean over places → (N, classes).

    Args:
        image_size: (H, W), or one number for both; at least 4. Any size fits.
        channels: of the picture.
        classes: how many scores come out.
        dropout: before the last layer.
    """

    def __init__(
        self, image_size: int | tuple[int, int] = 28, channels: int = 1, classes: int = 10, dropout: float = 0.2
    ) -> None:
        super().__init__()
        if min(image_size if isinstance(image_size, tuple) else (image_size,)) < 4:
            raise ValueError(f"InceptionSmall needs pictures of at least 4 x 4, but image_size is {image_size}")
        self.stem = BasicConv2d(channels, 32, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.stage1 = _blocks(32, ((16, 16, 32, 8, 8, 8), (16, 16, 32, 8, 8, 8)))
        self.stage2 = _blocks(64, ((32, 32, 64, 16, 16, 16), (32, 32, 64, 16, 16, 16)))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(self.pool(self.stem(x)))
        x = self.stage2(self.pool(x))
        return self.fc(self.dropout(x.mean((2, 3))))


def _blocks(channels: int, widths: Sequence[tuple[int, int, int, int, int, int]]) -> nn.Sequential:
    layers = []
    for each in widths:
        layers.append(InceptionBlock(channels, *each))
        channels = each[0] + each[2] + each[4] + each[5]
    return nn.Sequential(*layers)


def inception_small(
    image_size: int | tuple[int, int] = 28, channels: int = 1, classes: int = 10, dropout: float = 0.2
) -> InceptionSmall:
    """:class:`InceptionSmall`."""
    return InceptionSmall(image_size, channels, classes, dropout)
