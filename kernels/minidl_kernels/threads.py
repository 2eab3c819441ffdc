"""Several cores for one kernel: the same function over several pieces of the work.

NumPy lets go of the interpreter's lock inside its loops, so threads truly run side by side there. BLAS has threads of
its own and is best left alone, or held at one thread while these run.

    in_parallel(lambda piece: np.exp(x[piece], out=y[piece]), slices(len(x)))
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_local = threading.local()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_count = cores()
_pool: ThreadPoolExecutor | None = None


def get_num_threads() -> int:
    """How many threads :func:`in_parallel` uses."""
    return _count


def set_num_threads(count: int) -> None:
    """Use ``count`` threads from now on (1: no others than the caller's)."""
    global _count, _pool
    if _pool is not None:
        _pool.shutdown()
    _count, _pool = max(int(count), 1), None


def slices(n: int, parts: int | None = None, multiple: int = 1) -> list[slice]:
    """``range(n)`` in ``parts`` (as many as threads) slices of nearly equal length, each but the last a
    ``multiple``."""
    parts = _count if parts is None else parts
    units = -(-n // multiple)
    parts = max(min(parts, units), 1)
    ends = [min(units * (i + 1) // parts * multiple, n) for i in range(parts)]
    return [slice(begin, end) for begin, end in zip([0, *ends], ends)]


def in_parallel(function: Callable[[Any], Any], pieces: Sequence[Any]) -> list[Any]:
    """``[function(piece) for piece in pieces]`` on several threads; the caller's is one of them.

    Settings of the caller's context (``np.errstate``, ``no_grad``) hold in all. The first error is raised, after all
    have ended. Called from within a piece, it runs in that thread alone.
    """
    if _count == 1 or len(pieces) == 1 or getattr(_local, "busy", False):
        return [function(piece) for piece in pieces]
    pool = _the_pool()
    futures = [pool.submit(contextvars.copy_context().run, _piece, function, piece) for piece in pieces[1:]]
    try:
        first = _piece(function, pieces[0])
    finally:
        for future in futures:
            future.exception()  # waits: nobody may still be writing when an error leaves
    return [first, *(future.result() for future in futures)]


class Scratch:
    """Memory for what is needed only for a while: asked for again by the same name, it is given again.

    Fresh memory costs as much as the arithmetic: the system clears it page by page when it is first written.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def __call__(self, name: str, shape: tuple[int, ...], like: Any) -> Any:
        """An array of ``shape``, with any values, of the type and library of ``like``."""
        size = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.size < size or kept.dtype != like.dtype:
            kept = self._kept[name] = np.empty_like(like, order="C", shape=(size,))
        return kept[:size].reshape(shape)


@contextlib.contextmanager
def one_blas_thread(wanted: bool = True) -> Iterator[None]:
    """Inside the block, if ``wanted``, BLAS runs each product in the calling thread: our own threads share the work.

    Without threadpoolctl, which finds the BLAS in use, nothing changes.
    """
    libraries = _blas() if wanted and _count > 1 and not getattr(_local, "busy", False) else ()
    before = [library.num_threads for library in libraries]
    try:
        for library in libraries:
            library.set_num_threads(1)
        yield
    finally:
        for library, count in zip(libraries, before):
            library.set_num_threads(count)


@functools.cache
def _blas() -> tuple[Any, ...]:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return ()
    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


def _piece(function: Callable[[Any], Any], piece: Any) -> Any:
    _local.busy = True
    try:
        return function(piece)
    finally:
        _local.busy = False


def _the_pool() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor  # on first use: most programs are done importing sooner

        _pool = ThreadPoolExecutor(_count - 1, thread_name_prefix="minidl")
    return _pool


def _forget_pool() -> None:
    """A forked process inherits the pool but none of its threads."""
    global _pool
    _pool = None
    _local.busy = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
