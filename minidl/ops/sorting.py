"""Sorting, searching and counting: sort, topk, unique, …"""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
