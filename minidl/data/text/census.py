"""Given names and surnames."""

from __future__ import annotations

from typing import Any

from minidl.data.download import Mirror, Package, cache_folder, obtain
from minidl.data.text.base import Texts, check_split, part_of

FILES = {
    "female": ("dist.female.first", "bd2f310fc4e5d5e5ea122c9d4342c9821145823118eb20db1647f305ec77b358"),
    "male": ("dist.male.first", "0a5078ef6effe3b483d15b0f7f95047662126c9bfb624ecd5e5b978fc0f2470b"),
    "surname": ("dist.all.last", "b0e2b3743ccbad641ca48b344c24cdebcd1d9a1f76dc6dbf05986f2919f0b4e1"),
}
SOURCES = [
    Mirror("https://raw.githubusercontent.com/treyhunner/names/master/names/", suffix=""),
    Package("pip-source", "names==0.3.0", "names-0.3.0/names"),
]


def names(split: str = "train", root: Any = None, download: bool = True, surnames: bool = False) -> Texts:
    """Samples (name, class): 4,275 female and 1,219 male given names; with ``surnames`` 88,799 surnames too.

    They are those of the US census of 1990 (public domain; from the source archive of the package ``names`` 0.3.0,
    MIT, 0.8 MB), most frequent first, lower case but for the first letter. 331 given names are in both classes. 80 %
    are for training, 10 % for validation, 10 % for the test; the same name is always in the same part.
    """
    check_split(split)
    folder = cache_folder(root) / "names"
    obtain(folder, dict(FILES.values()), SOURCES, download)
    classes = ["female", "male", "surname"] if surnames else ["female", "male"]
    samples = []
    for label, kind in enumerate(classes):
        for line in (folder / FILES[kind][0]).read_text(encoding="ascii").splitlines():
            name = line[:15].strip().capitalize()
            if name and split in (part_of(name), "all"):
                samples.append((name, label))
    return Texts(samples, classes)
