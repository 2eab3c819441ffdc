"""Embedding tables and one-hot vectors."""

from __future__ import annotations

__all__: list[str] = []
