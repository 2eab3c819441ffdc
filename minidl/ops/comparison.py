"""Comparisons, logical and bitwise operators, and tests for nan and inf: results without a gradient."""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
