"""Anomaly detection: which operator made the first NaN or infinity on the way back, and which line called it."""

from __future__ import annotations

from typing import Any

from minidl.autograd import tape
from minidl.backends import namespace
from minidl.callers import line_of, users_frame
from minidl.tensor import raw


def _trace(operator: tape.Operator, inputs: Any, outputs: Any) -> None:
    frame = users_frame()
    if frame is not None:
        line = line_of(frame)
        operator.trace = f'File "{line.file}", line {line.number}, in {frame.f_code.co_name}: {line.text}'


def _check(operator: tape.Operator, gradients: list, results: tuple) -> None:
    for position, result in enumerate(results):
        if result is None or operator.edges[position] is None:
            continue
        array = raw(result)
        finite = namespace(array).isfinite(array)
        if not finite.all():
            kind = "nan" if namespace(array).isnan(array).any() else "infinite"
            raise RuntimeError(
                f"Function {operator.name!r} returned {kind} values in its {position}th output: "
                f"{int((~finite).sum())} of {array.size} elements of the gradient of its input {position} "
                f"(shape {tuple(array.shape)}). The operator was called at: {operator.trace or 'an unrecorded line'}"
            )


class detect_anomaly:
    """Check every gradient for NaN and infinity, and say where the first one arose.

    Use it around forward *and* backward: the lines of the forward calls are noted as they run. Slow; for finding bugs.
    RuntimeError, naming the operator and the user's line, at the first gradient that is not finite.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan

    def __enter__(self) -> None:
        tape._tracers.append(_trace)
        if self._check_nan:
            tape._checks.append(_check)

    def __exit__(self, *exc: object) -> None:
        tape._tracers.remove(_trace)
        if self._check_nan:
            tape._checks.remove(_check)


class set_detect_anomaly:
    """``detect_anomaly`` as a switch: for good when called, for a block with ``with``."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._previous = (_trace in tape._tracers, _check in tape._checks)
        _switch(tape._tracers, _trace, mode)
        _switch(tape._checks, _check, mode and check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _switch(tape._tracers, _trace, self._previous[0])
        _switch(tape._checks, _check, self._previous[1])


def _switch(functions: list[Any], function: Any, on: bool) -> None:
    if on and function not in functions:
        functions.append(function)
    while not on and function in functions:
        functions.remove(function)


def is_anomaly_enabled() -> bool:
    return _check in tape._checks or _trace in tape._tracers
