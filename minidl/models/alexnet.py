"""AlexNet (Krizhevsky, Sutskever & Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks").

Here in the single-column form of Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks"
(section 5): the first paper's halves, one a GPU, became one, and local response normalisation went. Names of the state dict
are torchvision's.
"""

from __future__ import annotations

from minidl import nn
from minidl.tensor import Tensor


class AlexNet(nn.Module):
    """Five convolutions, three pools, three linear layers with dropout (section 3.5): 61,100,840 parameters for ImageNet,
    96 % of them in the linear layers.

    (N, 3, H, W) → ``features`` (N, 256, 6, 6) for 224 × 224 → ``avgpool`` makes it 6 × 6 for others → (N, num_classes).

    Args:
        num_classes: how many scores come out.
        dropout: the probability that a value before a linear layer is dropped (section 4.2).
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNetSmall(nn.Module):
    """AlexNet's plan for small pictures: five convolutions of 3 × 3, overlapping pools (section 3.4), dropout.

    (N, channels, 28, 28) → (32, 28, 28) → pool (32, 13, 13) → (64, 13, 13) → pool (64, 6, 6) → (96, 6, 6) → (64, 6, 6) →
    (64, 6, 6) → pool (64, 3, 3) → 256 → classes.

    Args:
        image_size: (H, W), or one number for both; at least 4. What remains of it is averaged to 3 × 3.
        channels: of the picture.
        classes: how many scores come out.
        dropout: as in :class:`AlexNet`.
    """

    def __init__(
        self, image_size: int | tuple[int, int] = 28, channels: int = 1, classes: int = 10, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if min(image_size if isinstance(image_size, tuple) else (image_size,)) < 4:
            raise ValueError(f"AlexNetSmall needs pictures of at least 4 x 4, but image_size is {image_size}")
        layers: list[nn.Module] = []
        reached = channels
        for filters, pool in ((32, True), (64, True), (96, False), (64, False), (64, True)):
            layers += [nn.Conv2d(reached, filters, 3, padding=1), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(3, 2, padding=1)] if pool else []
            reached = filters
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(reached * 9, 256),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(256, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet_small(
    image_size: int | tuple[int, int] = 28, channels: int = 1, classes: int = 10, dropout: float = 0.5
) -> AlexNetSmall:
    """:class:`AlexNetSmall`."""
    return AlexNetSmall(image_size, channels, classes, dropout)
