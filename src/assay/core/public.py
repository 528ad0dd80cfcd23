"""Names of a public module, which are imported from the modules that define them on first access."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from assay.core.errors import nearest


def attach_stub(package: str, file: str) -> tuple[Mapping[str, str], Callable[[str], Any], Callable[[], list[str]]]:
    """Read the stub beside a module, which lists its public names, as `lazy_loader.attach_stub` does.

    Args:
        package: Dotted name of the module.
        file: Its `__file__`.

    Returns:
        Name to the module that defines it; the module's `__getattr__`; its `__dir__`.
    """
    body = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body
    modules = {
        alias.name: node.module or "" for node in body if isinstance(node, ast.ImportFrom) for alias in node.names
    }

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(modules)
        if name in modules:
            return getattr(import_module(modules[name]), name)
        near = None if name.startswith("_") else nearest(name, modules)
        hint = f"; did you mean '{near}'?" if near else ""
        raise AttributeError(f"module '{package}' has no attribute '{name}'{hint}")

    return modules, get, lambda: sorted(modules)
