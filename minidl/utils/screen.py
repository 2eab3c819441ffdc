"""Tables on the screen."""

from __future__ import annotations

from typing import Any


def print_wide(console: Any, table: Any, least: int) -> None:
    """Print a table at least ``least`` columns wide: a narrow screen wraps its lines, and loses nothing."""
    before = console.width
    console.width = max(before, least)
    try:
        console.print(table, crop=False)
    finally:
        console.width = before
