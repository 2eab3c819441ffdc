"""The one table of operators from which the operator tests and the scoreboard are made."""

import importlib
import pkgutil

from tests.table.core import TABLE, Op

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["TABLE", "Op"]
