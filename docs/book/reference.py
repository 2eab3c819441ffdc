"""The reference: a page for each package, with the docstrings of its public modules as they stand."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
# Packages whose names are used as they are gathered: minidl.relu, minidl.nn.Linear.
GATHERED = (
    "minidl",
    "minidl.nn",
    "minidl.nn.functional",
    "minidl.optim",
    "minidl.data",
    "minidl.inspect",
    "minidl.models",
)
SECOND_LEVEL = ("minidl.nn.functional", "minidl.nn.modules", "minidl.optim.lr_scheduler", "minidl.data.text")
START = """# Reference

A page for each package, from its docstrings. What a package gathers (`minidl.relu`, `minidl.nn.Linear`) is listed on its
page, with links to where it is described.

"""


def module_names() -> list[str]:
    """Every public module of minidl, and of the kernels each room with its reference."""
    names = []
    for path in sorted((ROOT / "minidl").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(p.startswith("_") or p in ("cli", "chapters") for p in parts):
            names.append(".".join(parts))
    rooms = [p.parent.name for p in sorted((ROOT / "kernels" / "minidl_kernels").glob("*/with_numpy.py"))]
    return [*names, *(n for room in rooms for n in (f"minidl_kernels.{room}", f"minidl_kernels.{room}.with_numpy"))]


def page_of(module: str) -> str:
    """The page that describes a module: that of the package it belongs to."""
    for package in SECOND_LEVEL:
        if module == package or module.startswith(f"{package}."):
            return package
    return ".".join(module.split(".")[:2])


def pages() -> dict[str, str]:
    """The text of every page of the reference by its name."""
    groups: dict[str, list[str]] = {}
    for name in module_names():
        groups.setdefault(page_of(name), []).append(name)
    made = {f"reference/{title}.md": page(title, names) for title, names in groups.items()}
    rooms = [n for n in groups if n.startswith("minidl_kernels")]
    lists = (
        ("minidl", [n for n in groups if n not in rooms]),
        ("Kernels: the mathematics, the cost, the NumPy code", rooms),
    )
    trees = "\n".join(
        f"```{{toctree}}\n:maxdepth: 1\n:caption: {title}\n\n" + "\n".join(ns) + "\n```\n" for title, ns in lists
    )
    made["reference/index.md"] = START + trees
    return made


def page(title: str, names: list[str]) -> str:
    """A package's page: what it gathers, then its modules, each with its own functions and classes."""
    lines = [f"# {title}", ""]
    for name in names:
        module = importlib.import_module(name)
        lines += [f"## {name}", ""] if name != title else []
        lines += ["```{eval-rst}", f".. automodule:: {name}", "   :ignore-module-all:", "```", ""]
        if name in GATHERED:
            lines += ["### What it offers" if name != title else "## What it offers", "", *offered(module), ""]
    return "\n".join(lines)


def offered(module: ModuleType) -> list[str]:
    """A list of the public functions and classes that a package gathers from its modules, with their first lines."""
    lines = []
    for name in sorted(getattr(module, "__all__", None) or vars(module), key=str.lower):
        value = getattr(module, name, None)
        home = getattr(value, "__module__", "") or ""
        if (
            name.startswith("_")
            or not (inspect.isfunction(value) or inspect.isclass(value))
            or not home.startswith("minidl")
        ):
            continue
        first = (inspect.getdoc(value) or "").split("\n")[0].replace("``", "`").replace("*", r"\*").replace("$", r"\$")
        for role in (":func:", ":class:", ":meth:", ":mod:", ":attr:"):
            first = first.replace(role, "")
        lines.append(f"- {{py:obj}}`{name} <{home}.{value.__name__}>`: {first}")
    return lines
