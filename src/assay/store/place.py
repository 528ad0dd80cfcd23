"""Where a study's records lie, and whether anything can be written there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from assay.core.errors import StoreError
from assay.core.spec import StudySpec


def run_folder(spec: StudySpec, scale: str | None, out: Path) -> Path:
    """Where a study's records lie: `out/<name>`, and `out/<name>-<scale>` for a named scale."""
    return out / (spec.name if scale in (None, "default") else f"{spec.name}-{scale}")


def require_writable(folder: Path) -> None:
    """Raises StoreError when a folder, with those above it, can neither be found nor made, or takes no file.

    Found out by doing it, since permissions alone do not tell. What was made for it is taken away again.
    """
    made: list[Path] = []
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        takes_none = bool(made) and isinstance(error, FileNotFoundError)  # as /proc, which says of itself that it may
        told = f"{made[-1].parent} takes no folders" if takes_none else error.strerror
        what = "cannot be made" if made else "cannot be written to"
        raise StoreError(f"the folder {folder} {what}: {told}; choose another place with --out") from error
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()
