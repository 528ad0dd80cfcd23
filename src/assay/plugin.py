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

from assay.core.public import attach_stub

MODULES, __getattr__, __dir__ = attach_stub(__name__, __file__)
"""Name to the module that defines it."""
