"""The helper that runs a function over pieces on several threads."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest

import minidl
from minidl_kernels import threads


@pytest.fixture(autouse=True)
def two_threads():
    before = threads.get_num_threads()
    threads.set_num_threads(2)
    yield
    minidl.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 97])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("multiple", [1, 4])
def test_slices_cover_the_range_once(n, parts, multiple):
    found = threads.slices(n, parts, multiple)
    assert [i for s in found for i in range(s.start, s.stop)] == list(range(n))
    assert 1 <= len(found) <= parts
    assert all((s.stop - s.start) % multiple == 0 for s in found[:-1])
    if multiple == 1 and n >= parts:
        lengths = [s.stop - s.start for s in found]
        assert max(lengths) - min(lengths) <= 1


def test_results_come_in_order_and_from_several_threads():
    together = threading.Barrier(2, timeout=20)  # passed only if two threads run at the same time

    def work(i):
        if i < 2:
            together.wait()
        return i, threading.get_ident()

    results = threads.in_parallel(work, [0, 1, 2, 3])
    assert [i for i, _ in results] == [0, 1, 2, 3]
    assert len({ident for _, ident in results}) == 2


def test_an_error_is_raised_after_all_have_ended():
    ended = []

    def work(i):
        if i == 0:
            raise KeyError("first")
        ended.append(i)

    with pytest.raises(KeyError, match="first"):
        threads.in_parallel(work, [0, 1, 2])
    assert sorted(ended) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        threads.in_parallel(lambda i: 1 / (i - 1), [0, 1])


def test_the_callers_settings_hold_in_every_thread():
    with np.errstate(divide="ignore"):
        threads.in_parallel(lambda i: np.ones(2) / np.zeros(2), [0, 1])
    with pytest.raises(FloatingPointError), np.errstate(divide="raise"):
        threads.in_parallel(lambda i: np.ones(2) / np.zeros(2) if i else None, [0, 1])


def test_a_piece_may_ask_for_pieces_of_its_own():
    def outer(i):
        return sum(threads.in_parallel(lambda j: 10 * i + j, [0, 1, 2]))

    assert threads.in_parallel(outer, [0, 1, 2]) == [3, 33, 63]


def test_one_thread_is_the_callers():
    threads.set_num_threads(1)
    assert threads.in_parallel(lambda i: threading.get_ident(), [0, 1]) == [threading.get_ident()] * 2


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a safe fork()")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_threads_of_its_own():
    threads.in_parallel(lambda i: i, [0, 1])
    child = os.fork()
    if child == 0:
        os._exit(0 if threads.in_parallel(lambda i: i, [0, 1]) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_number_of_threads_is_minidls():
    minidl.set_num_threads(3)
    assert minidl.get_num_threads() == threads.get_num_threads() == 3
    with pytest.raises(RuntimeError, match="expects a positive integer, but got 0"):
        minidl.set_num_threads(0)
    with pytest.raises(TypeError, match="expects an int, but got float"):
        minidl.set_num_threads(1.5)
