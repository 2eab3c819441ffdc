"""Matrix decompositions and solvers behind ``minidl.linalg``."""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
