"""The reference: a page for each public module, its docstrings as they stand, and a page that lists what a package offers."""

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


def pages() -> dict[str, str]:
    """The text of every page of the reference by its name."""
    names = module_names()
    made = {f"reference/{name}.md": page(name, names) for name in names}
    tops = [n for n in names if n.count(".") == (1 if n.startswith("minidl.") else 1) or n == "minidl"]
    rooms = [n for n in tops if n.startswith("minidl_kernels")]
    mine = [n for n in tops if n not in rooms]
    made["reference/index.md"] = "\n".join(
        [
            "# Reference",
            "",
            "A page for each module, from its docstrings. What a package gathers (`minidl.relu`, `minidl.nn.Linear`) is listed on",
            "the package's page, and described where it is defined.",
            "",
            "```{toctree}",
            ":maxdepth: 1",
            "",
            *mine,
            "```",
            "",
            "The kernels' rooms, each with its mathematics, its cost and its NumPy reference:",
            "",
            "```{toctree}",
            ":maxdepth: 1",
            "",
            *rooms,
            "```",
            "",
        ]
    )
    return made


def page(name: str, names: list[str]) -> str:
    """One module's page: what it gathers, its own functions and classes, and the modules below it."""
    module = importlib.import_module(name)
    below = [n for n in names if n.rpartition(".")[0] == name] if name != "minidl" else []
    lines = [f"# `{name}`", "", "```{eval-rst}", f".. automodule:: {name}", "```", ""]
    if name in GATHERED:
        lines += ["## What it offers", "", *offered(module), ""]
    if below:
        lines += ["## Its modules", "", "```{toctree}", ":maxdepth: 1", "", *below, "```", ""]
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
        first = first.replace(":func:", "").replace(":class:", "").replace(":meth:", "").replace(":mod:", "")
        lines.append(f"- `{name}` ([{home}]({home}.md)): {first}")
    return lines
