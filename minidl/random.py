"""Random numbers: generators, seeds and their state.

All random numbers come from a :class:`Generator`, the default one unless another is given. They are drawn with NumPy's
PCG64 (O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms") on the CPU, whatever
the device, so that a seed gives the same numbers everywhere. They are not PyTorch's numbers.
"""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl import backends
from minidl.tensor import Tensor, wrap

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

_FIRST_SEED = 67280421310721  # what PyTorch gives a new Generator
_WORD = (1 << 64) - 1


class Generator:
    """A stream of random numbers of its own: ``minidl.Generator().manual_seed(0)``, then ``generator=`` anywhere.

    ``numpy`` is the NumPy generator that draws.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = backends.device(device)
        self.manual_seed(_FIRST_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to ``seed``, an integer of 64 bits (negative ones count from 2⁶⁴)."""
        seed = operator.index(seed)
        if not -(1 << 63) <= seed <= _WORD:
            raise RuntimeError(f"manual_seed: the seed must fit in 64 bits, from -2**63 to 2**64 - 1, but got {seed}")
        self._seed = seed & _WORD
        self.numpy = np.random.Generator(np.random.PCG64(self._seed))
        return self

    def seed(self) -> int:
        """Start a stream that nobody can foresee; returns its seed."""
        seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def get_state(self) -> Tensor:
        """Where the stream is, as a Tensor of bytes that can be stored with a checkpoint."""
        bits: Any = self.numpy.bit_generator.state
        stream = bits["state"]
        parts = (
            (stream["state"], 16),
            (stream["inc"], 16),
            (bits["has_uint32"], 1),
            (bits["uinteger"], 4),
            (self._seed, 8),
        )
        packed = b"".join(value.to_bytes(size, "little") for value, size in parts)
        return wrap(np.frombuffer(packed, np.uint8).copy())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on where ``get_state`` was called. TypeError or RuntimeError for what is no such state."""
        if not isinstance(new_state, Tensor) or new_state._data.dtype != np.uint8:
            raise TypeError("expected a Tensor of type uint8, as get_state() gives")
        packed = new_state._data.tobytes()
        if len(packed) != 45:
            raise RuntimeError(
                f"RNG state is wrong size: expected 45 bytes, as get_state() gives, but got {len(packed)}"
            )
        number = [int.from_bytes(packed[a:b], "little") for a, b in ((0, 16), (16, 32), (32, 33), (33, 37), (37, 45))]
        self.numpy.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": number[0], "inc": number[1]},
            "has_uint32": number[2],
            "uinteger": number[3],
        }
        self._seed = number[4]
        return self

    def clone_state(self) -> Generator:
        """Another generator at the same place of the same stream."""
        return Generator(self.device).set_state(self.get_state())

    def __reduce__(self) -> tuple:
        return _restore, (str(self.device), self.get_state()._data.tobytes())


def _restore(device: str, state: bytes) -> Generator:
    return Generator(device).set_state(wrap(np.frombuffer(state, np.uint8)))


default_generator = Generator()
default_generator.seed()


def generator(given: Generator | None = None) -> np.random.Generator:
    """The NumPy generator to draw from: that of ``given``, or of the default generator."""
    if given is None:
        return default_generator.numpy
    if not isinstance(given, Generator):
        raise TypeError(f"generator must be a minidl.Generator or None, not {type(given).__name__}")
    return given.numpy


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream that belongs to ``seed``: the same program then gives the same numbers."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default generator on a stream that nobody can foresee; returns its seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator was started with."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Where the default generator is in its stream, a Tensor of bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Put the default generator where it was when :func:`get_rng_state` gave ``new_state``."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **_: Any) -> Iterator[None]:
    """A block whose random numbers leave no trace: after it the default generator is where it was before."""
    if not enabled:
        yield
        return
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
