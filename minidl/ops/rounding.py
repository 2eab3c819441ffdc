"""Sign, rounding, clamping, and choosing between values: piecewise functions."""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
