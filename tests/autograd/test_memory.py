"""What backward holds: it frees as it goes, and never more than the forward values and a few gradients."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import pytest

import minidl
from minidl import nn

MEGABYTE = 2**20
LENGTH = 1000


def chain(x, length):
    for _ in range(length):
        x = x.sin()  # sin saves its input: one array an operator
    return x


def test_a_chain_of_1000_operators_on_1_mb_arrays_holds_no_more_than_its_forward_values():
    x = minidl.rand(MEGABYTE // 4, requires_grad=True)
    tracemalloc.start()
    try:
        loss = chain(x, LENGTH).sum()
        forward = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        loss.backward()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.95 * LENGTH < forward / MEGABYTE < 1.05 * LENGTH
    assert peak <= forward + 6 * MEGABYTE, (
        f"backward held {(peak - forward) / MEGABYTE:.1f} MB beyond the forward values"
    )
    assert after < 12 * MEGABYTE, f"{after / MEGABYTE:.1f} MB are still held after backward, while the loss is alive"


def test_a_graph_that_is_dropped_is_freed_at_once_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = minidl.ones(10, requires_grad=True)
        y = x.exp()
        inner = weakref.ref(y.grad_fn)
        z = (y * 2).sum()
        del y
        assert inner() is not None
        del z
        assert inner() is None, "a reference cycle keeps the graph alive"
    finally:
        gc.enable()


def test_a_training_loop_does_not_grow():
    w = minidl.rand(MEGABYTE // 4, requires_grad=True)

    def step():
        (w * w).exp().sum().backward()
        w.grad = None

    step()
    tracemalloc.start()
    try:
        step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            step()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < MEGABYTE / 10


def test_no_grad_keeps_nothing():
    x = minidl.rand(MEGABYTE // 4, requires_grad=True)
    tracemalloc.start()
    try:
        with minidl.no_grad():
            y = chain(x, 50)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 2.5 * MEGABYTE
    assert not y.requires_grad


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_the_gates_of_a_recurrent_layer_are_freed_while_the_loss_lives(kind):
    layer = kind(32, 64)
    x = minidl.rand(200, 8, 32)
    layer(x)[0].sum().backward()  # gradients and what is made once
    gc.collect()
    tracemalloc.start()
    try:
        loss = layer(x)[0].sum()
        forward = tracemalloc.get_traced_memory()[0]
        loss.backward()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert forward > MEGABYTE
    assert after < forward / 4, f"of {forward:,} bytes {after:,} are still held"


@pytest.mark.parametrize(
    "layer", [nn.MaxPool1d(2), nn.LSTM(4, 3), nn.GRU(4, 3), nn.RNN(4, 3), nn.RReLU()], ids=lambda m: type(m).__name__
)
def test_a_second_backward_says_that_what_was_kept_is_freed(layer):
    y = layer(minidl.rand(2, 3, 4, requires_grad=True))
    loss = (y[0] if isinstance(y, tuple) else y).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"backward through the graph a second time.*retain_graph=True"):
        loss.backward()
