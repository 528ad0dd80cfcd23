"""Scripts of the repository, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def script(path: str) -> ModuleType:
    """Return the script at a path of the repository, as a module by which others import it."""
    place = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert place is not None
    assert place.loader is not None
    module = sys.modules[place.name] = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module
