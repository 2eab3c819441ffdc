"""The engine's public hooks: what debuggers, profilers and inspectors hang on. While nothing hangs, nothing is called.

def slow(operator, phase, rule, arrays):
    began = time.perf_counter()
    result = rule(*arrays)
    print(operator.name, phase, time.perf_counter() - began)
    return result

with minidl.autograd.watch(slow):
    loss = model(x).square().mean()
    loss.backward()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.autograd import tape, walk
from minidl.autograd.walk import RemovableHandle


def watch(function: Callable[[Any, str, Callable, tuple], Any]) -> RemovableHandle:
    """Put ``function(operator, phase, rule, arrays)`` around every rule; it returns ``rule(*arrays)``.

    ``phase`` is "forward" (``arrays`` are the inputs) or "backward" (the gradients of the outputs). A watcher that was
    set later lies further outside.
    """
    tape._around.append(function)
    return RemovableHandle(tape._around, function)


def on_record(function: Callable[[Any, tuple, tuple], None]) -> RemovableHandle:
    """Call ``function(operator, inputs, outputs)`` when an operator goes on the tape.

    ``inputs`` are what it was applied to (Tensors, arrays, numbers or None), ``outputs`` its Tensors.
    """
    tape._tracers.append(function)
    return RemovableHandle(tape._tracers, function)


def on_rule(function: Callable[[Any, list, tuple], None]) -> RemovableHandle:
    """Call ``function(operator, gradients, results)`` after every gradient rule.

    ``gradients`` came in, one an output; ``results`` go out, one an input: as the rule returned them, before
    broadcasting is undone. What the function raises ends the backward pass.
    """
    tape._checks.append(function)
    return RemovableHandle(tape._checks, function)


def on_backward(make: Callable[..., tape.Pass]) -> RemovableHandle:
    """Let ``make(retain_graph=, create_graph=, wanted=)`` make the :class:`~minidl.autograd.tape.Pass` of every
    ``backward()``: a subclass may look at each step. If several are set, the last one is asked."""
    walk._makers.append(make)
    return RemovableHandle(walk._makers, make)
