"""Whose array it is: NumPy's on the CPU, CuPy's on a GPU."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

import numpy as np

launches = [0]  # how many kernels the doors to CUDA C and Triton have launched: profilers read the difference


def namespace(array: Any) -> Any:
    """The array library that ``array`` belongs to: what to call instead of a fixed ``np``."""
    return np if isinstance(array, (np.ndarray, np.generic)) else importlib.import_module("cupy")


@functools.cache
def gpu_is_available() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        return importlib.import_module("cupy").cuda.runtime.getDeviceCount() > 0
    except Exception:  # the CUDA runtime raises a type of its own when there is no driver
        return False
