"""One run at a time works in a run folder."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from assay.core.errors import StoreError
from assay.core.lock import holding

LOCK = ".lock"


@contextmanager
def working_in(root: Path) -> Generator[None]:
    """Hold a run folder while something is written there.

    Raises StoreError when another process holds it, or the folder cannot be made.
    """

    def refuse() -> None:
        raise StoreError(f"another run works in {root}: wait until it ends, or choose another place with --out")

    with holding(root / LOCK, refuse):
        yield
