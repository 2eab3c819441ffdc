"""The commands: ``minidl train mnist``, ``minidl doctor``, ``minidl bench``, ``minidl kernels`` and more.

A module a group of commands; each puts its commands into the groups of :mod:`minidl.cli.common` when it is imported.
"""

from minidl.cli import (  # noqa: F401  (for their commands)
    bench,
    kernels,
    machine,
    programs,
    step,
    train_language,
    train_pictures,
    train_texts,
    train_translation,
    tutorials,
)
from minidl.cli.common import app  # noqa: F401  (what all of them are commands of)
