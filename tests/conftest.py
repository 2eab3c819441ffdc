"""Set up before anything else is imported; which tests come first."""

import gc
import os
from collections import defaultdict

import pytest

from minidl_kernels.arrays import gpu_is_available

if not gpu_is_available():
    # Triton decides when it is imported, and PyTorch may import it before minidl's kernels do.
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """No search for garbage while tens of thousands of tests are made, all of which stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items):
    """Files with slow tests first, those that are given most time before the others: at the end, processes share out short
    tests, and none is left alone with a long one. A file stays whole, for what its tests share."""
    seconds = defaultdict(int)
    for item in items:
        given = [mark.args[0] for mark in item.iter_markers("timeout")]
        seconds[item.path] = max([seconds[item.path], *given, item.get_closest_marker("slow") is not None])
    items.sort(key=lambda item: -seconds[item.path])
