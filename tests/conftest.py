"""Set up before anything else is imported."""

import os

from minidl_kernels.arrays import gpu_is_available

if not gpu_is_available():
    # Triton decides when it is imported, and PyTorch may import it before minidl's kernels do.
    os.environ.setdefault("TRITON_INTERPRET", "1")
