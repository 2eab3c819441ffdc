"""The questions about the GPU, on any machine."""

from __future__ import annotations

import pytest

import minidl
from minidl import cuda


def test_the_textbook_question():
    device = minidl.device("cuda" if cuda.is_available() else "cpu")
    assert minidl.ones(2).to(device).device.type == device.type


def test_the_count_agrees_with_whether_there_is_one():
    assert (cuda.device_count() > 0) == cuda.is_available()


def test_what_needs_a_gpu_says_so():
    for question in (cuda.current_device, cuda.get_device_name, cuda.synchronize):
        if cuda.is_available():
            question()
        else:
            with pytest.raises(RuntimeError, match="device 'cuda' was asked for"):
                question()


def test_seeding_all_gpus_leaves_the_stream_alone():
    before = minidl.get_rng_state()
    cuda.manual_seed_all(3)
    assert minidl.get_rng_state().tolist() == before.tolist()
