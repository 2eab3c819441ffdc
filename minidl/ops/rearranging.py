"""Operators that copy values to other places: flip, roll, repeat, tile, …"""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
