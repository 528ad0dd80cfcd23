"""Which contrasts were stated before results existed. One that was added later is exploratory, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay.core.hashing import content_hash
from assay.core.spec import ContrastSpec
from assay.store.files import read_json, write_json

FILE = "stated.json"


def state(root: Path, contrasts: Sequence[ContrastSpec], results_exist: bool) -> None:
    """Note contrasts that were not noted before: as stated beforehand, or as exploratory when results exist."""
    known = _known(root)
    new = {contrast_id(contrast): results_exist for contrast in contrasts if contrast_id(contrast) not in known}
    if new:
        write_json(root / FILE, {**known, **new})


def exploratory(root: Path, contrasts: Sequence[ContrastSpec]) -> list[bool]:
    """For each contrast, whether it was added after results existed, or says so itself."""
    known = _known(root)
    return [contrast.exploratory or known.get(contrast_id(contrast), True) for contrast in contrasts]


def contrast_id(contrast: ContrastSpec) -> str:
    """The hash of what is compared with what."""
    return content_hash(contrast.canonical())


def _known(root: Path) -> dict[str, bool]:
    return read_json(root / FILE) if (root / FILE).is_file() else {}
