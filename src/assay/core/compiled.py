"""The adapter to Numba, whose decorator carries no types: loops over pixels that depend on their order are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

Given = ParamSpec("Given")
Compiled = TypeVar("Compiled")


def compiled(function: Callable[Given, Compiled]) -> Callable[Given, Compiled]:
    """Return the same function as machine code, compiled at its first call and kept on disk: next to the module, else
    in the user's cache or in NUMBA_CACHE_DIR; where nothing can be written, in this process alone.

    Sums are done in the order that is written, so that results are the same on every processor of a kind.
    """
    try:
        machine_code = numba.njit(cache=True, nogil=True)(function)  # pyright: ignore[reportUnknownMemberType]
    except RuntimeError:  # nowhere to keep it
        machine_code = numba.njit(nogil=True)(function)  # pyright: ignore[reportUnknownMemberType]
    return cast("Callable[Given, Compiled]", machine_code)
