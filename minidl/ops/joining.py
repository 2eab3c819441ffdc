"""Joining and splitting tensors: cat, stack, split, unbind, …"""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
