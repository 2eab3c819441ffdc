"""Layers without parameters: a function of nn.functional and its settings."""

from __future__ import annotations

from typing import Any, ClassVar

from minidl.nn.module import Module


class Settings(Module):
    """Keeps its arguments as attributes of their names, and shows them in ``repr``.

    ``shown`` names those that ``repr`` shows: ``"x"`` as ``x=…``, ``"x!"`` only when it is true, and ``"=x"`` as
    the bare value.
    """

    shown: ClassVar[tuple[str, ...]] = ()

    def _keep(self, settings: dict[str, Any]) -> None:
        """Store the arguments of ``__init__``: called with its ``locals()``."""
        Module.__init__(self)
        for name, value in settings.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def extra_repr(self) -> str:
        parts = []
        for name in self.shown:
            value = getattr(self, name.strip("!="))
            if name.startswith("="):
                parts.append(str(value))
            elif not name.endswith("!") or value:
                text = repr(value) if isinstance(value, str) else value
                parts.append(f"{name.strip('!')}={text}")
        return ", ".join(parts)
