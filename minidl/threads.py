"""How many threads minidl computes with."""

from __future__ import annotations

from typing import Any

from minidl_kernels import threads

__all__ = ["get_num_threads", "set_num_threads"]

_blas_limits: list[Any] = []


def get_num_threads() -> int:
    """How many threads kernels use: the cores of this process, unless it was set."""
    return threads.get_num_threads()


def set_num_threads(num: int) -> None:
    """Use ``num`` threads in kernels, and in BLAS if the package ``threadpoolctl`` is installed."""
    if not isinstance(num, int) or isinstance(num, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {num}")
    threads.set_num_threads(num)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return
    _blas_limits[:] = [threadpool_limits(num, user_api="blas")]
