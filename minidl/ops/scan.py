"""Running sums, products, maxima along a dimension."""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
