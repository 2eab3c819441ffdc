"""Resampling and rearranging images: interpolate, grid_sample, pixel_shuffle, unfold, fold."""

from __future__ import annotations

__all__: list[str] = []
