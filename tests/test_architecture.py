"""One way down: no module imports from a layer above its own, and the kernels know nothing of minidl."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom up. A module belongs to the longest name that it starts with.
LAYERS = [
    ["minidl.absent", "minidl.dtypes", "minidl.backends", "minidl.callers", "minidl.threads", "minidl.utils.files"],
    ["minidl.tensor"],
    ["minidl.autograd"],
    ["minidl.ops", "minidl.random", "minidl.creation", "minidl.linalg", "minidl.cuda"],
    ["minidl.sampling", "minidl.surface", "minidl.printing"],
    ["minidl.methods", "minidl.autograd.functional"],
    ["minidl.nn.functional", "minidl.utils"],
    ["minidl.serialization"],
    ["minidl.nn", "minidl.optim", "minidl.data", "minidl.utils.data", "minidl.text", "minidl.amp"],
    ["minidl.models"],
    ["minidl.costs", "minidl.profiler", "minidl.inspect", "minidl.bench.ceilings", "minidl.bench.timing"],
    ["minidl.train"],
    ["minidl.bench", "minidl.doctor", "minidl.tutor"],
    ["minidl.cli", "minidl.__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules():
    for path in sorted((ROOT / "minidl").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def layer_of(module):
    """The level of a module's layer; None for the package itself, which gathers everything."""
    parts = module.split(".")
    for n in range(len(parts), 1, -1):
        if ".".join(parts[:n]) in LEVEL:
            return LEVEL[".".join(parts[:n])]
    return None


def imports(path, module):
    """Every module imported anywhere in a file, inside functions too, but for what serves type checking alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative imports hide where a name comes from"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if layer_of(full) is not None and is_module(full) else str(node.module)


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


ALL = list(modules())


@pytest.mark.parametrize(("module", "path"), ALL, ids=[m for m, _ in ALL])
def test_imports_go_down(module, path):
    mine = layer_of(module)
    if mine is None:
        assert module == "minidl", f"{module} stands in no layer: add it to LAYERS"
        return
    upward = sorted({i for i in imports(path, module) if (layer_of(i) if layer_of(i) is not None else -1) > mine})
    assert not upward, f"{module} imports from above: {upward}"


def test_kernels_know_no_tensor():
    for path in (ROOT / "kernels").rglob("*.py"):
        for name in imports(path, str(path)):
            assert name.split(".")[0] != "minidl", f"{path} imports {name}"


def test_torch_is_never_imported_outside_the_benchmarks():
    for module, path in ALL:
        if not module.startswith("minidl.bench"):
            assert "torch" not in {i.split(".")[0] for i in imports(path, module)}, module
