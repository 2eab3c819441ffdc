"""Look inside: what runs, where, how fast, and why. It reads the tape and the kernels through their hooks alone."""

from __future__ import annotations

from minidl.inspect.race import race

__all__ = ["race"]
