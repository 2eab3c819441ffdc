"""Affine and bilinear maps."""

from __future__ import annotations

__all__: list[str] = []
