"""Convolutional networks for small pictures: (N, channels, H, W) → scores (N, classes)."""

from __future__ import annotations

from minidl import nn
from minidl.nn import functional as F
from minidl.tensor import Tensor


def _size(image_size: int | tuple[int, int], least: int, name: str) -> tuple[int, int]:
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or min(size) < least:
        raise ValueError(f"{name} needs pictures of at least {least} x {least}, but image_size is {image_size}")
    return size


class ConvNet(nn.Module):
    """Two convolutions of 3 × 3, each halved by pooling, and two linear layers: the main example's network.

    (channels, H, W) → (32, H, W) → (32, H/2, W/2) → (64, H/2, W/2) → (64, H/4, W/4) → 128 → classes. For MNIST: 421,642
    parameters.

    Args:
        image_size: (H, W), or one number for both; at least 4.
        channels: of the picture.
        classes: how many scores come out.
    """

    def __init__(self, image_size: int | tuple[int, int] = 28, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        h, w = _size(image_size, 4, "ConvNet")
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * (h // 4) * (w // 4), 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


class ConvNetBN(nn.Module):
    """:class:`ConvNet` with batch normalisation after each convolution and dropout before the last layer.

    Ioffe & Szegedy 2015, "Batch Normalization"; Srivastava et al. 2014, "Dropout". Arguments as :class:`ConvNet`, and
    ``dropout``, the probability that a value is dropped.
    """

    def __init__(
        self, image_size: int | tuple[int, int] = 28, channels: int = 1, classes: int = 10, dropout: float = 0.5
    ) -> None:
        super().__init__()
        h, w = _size(image_size, 4, "ConvNetBN")
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1, bias=False)  # the normalisation has its own shift
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.fc1 = nn.Linear(64 * (h // 4) * (w // 4), 128)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = self.dropout(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)


class LeNet5(nn.Module):
    """The network that read cheques, with tanh and average pooling as in LeCun, Bottou, Bengio & Haffner 1998
    ("Gradient-based learning applied to document recognition", section II.B), and a plain linear layer at its end.

    (channels, H, W) → (6, H, W) → (6, H/2, W/2) → (16, H/2 - 4, W/2 - 4) → half of it → 120 → 84 → classes. The picture
    is padded by 2 (28 × 28 to 32 × 32, as in the paper). Below 12 × 12 the second convolution is padded too, so that
    something is left to pool.

    Arguments as :class:`ConvNet`.
    """

    def __init__(self, image_size: int | tuple[int, int] = 28, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        h, w = _size(image_size, 4, "LeNet5")
        pad = 0 if min(h, w) >= 12 else 2
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5, padding=pad)
        left = [(n // 2 - 4 + 2 * pad) // 2 for n in (h, w)]
        self.fc1 = nn.Linear(16 * left[0] * left[1], 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.conv1(x).tanh(), 2)
        x = F.avg_pool2d(self.conv2(x).tanh(), 2)
        x = self.fc1(x.flatten(1)).tanh()
        return self.fc3(self.fc2(x).tanh())
