"""Public surface for plug-ins: every name of Assay that a user's component needs.

A plug-in imports from this module, and from `assay` and `assay.testing`; other modules may move between versions. Each
name is imported from its module on first access, so that importing this module loads no PyTorch or pandas:

    from assay.plugin import component

    @component("intervention", "border", summary="a dark border")
    class Border:
        def __init__(self, *, width: float = 0.1) -> None: ...

`plugin.pyi` lists the names with their modules.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

from assay.core.errors import nearest

MODULES = {
    alias.name: node.module or ""
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
"""Name to the module that defines it."""


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(MODULES)


def __getattr__(name: str) -> Any:
    """Import a name from the module that defines it."""
    if name == "__all__":
        return sorted(MODULES)
    if name in MODULES:
        return getattr(import_module(MODULES[name]), name)
    near = None if name.startswith("_") else nearest(name, MODULES)
    hint = f"; did you mean '{near}'?" if near else ""
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'{hint}")
