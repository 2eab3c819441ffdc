"""Operators driven by index tensors: gather, scatter, index_select, masked_fill, …"""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
