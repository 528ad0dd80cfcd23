"""The adapter to Numba, whose decorator carries no types: loops over pixels that depend on their order are compiled."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar, cast


@contextmanager
def _without_settings() -> Generator[None]:
    """Let Numba, imported in this block, never obey a `.numba_config.yaml` of the working folder.

    That folder may hold somebody's images, and the file names a cache, from which Numba loads pickles. Without a reader
    of YAML, Numba passes such a file over; variables of the environment are obeyed as before.
    """
    library = sys.modules.get("yaml")
    sys.modules["yaml"] = None  # pyright: ignore[reportArgumentType]  importing it fails
    warnings.filterwarnings("ignore", "A Numba config file is found")
    try:
        yield
    finally:
        del sys.modules["yaml"]
        if library is not None:
            sys.modules["yaml"] = library


with _without_settings():
    import numba

Parameters = ParamSpec("Parameters")
Compiled = TypeVar("Compiled")


def compiled(function: Callable[Parameters, Compiled]) -> Callable[Parameters, Compiled]:
    """Return the same function as machine code, compiled at its first call and kept on disk: next to the module, else
    in the user's cache or in NUMBA_CACHE_DIR; where nothing can be written, in this process alone.

    Sums are done in the order that is written, so that results are the same on every processor of a kind.
    """
    try:
        machine_code = numba.njit(cache=True, nogil=True)(function)  # pyright: ignore[reportUnknownMemberType]
    except RuntimeError:  # nowhere to keep it
        machine_code = numba.njit(nogil=True)(function)  # pyright: ignore[reportUnknownMemberType]
    return cast("Callable[Parameters, Compiled]", machine_code)
