"""Reductions with statistics and extremes: mean, variance, norms, maxima, logsumexp, …"""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
