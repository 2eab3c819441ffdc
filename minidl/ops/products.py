"""Products of matrices and vectors, and what is built of them: einsum, tensordot, …"""

from __future__ import annotations

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []
