"""Exponentials, logarithms, roots, and the trigonometric and hyperbolic functions."""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
