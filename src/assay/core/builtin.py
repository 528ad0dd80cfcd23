"""The studies that come with Assay: YAML files in the package, found without importing anything."""

from __future__ import annotations

from pathlib import Path

STUDIES = Path(__file__).parent.parent / "studies"


def study_files() -> dict[str, Path]:
    """Name -> file of every built-in study: those on phantoms, the examples on real images, the tuning of both."""
    folders = (STUDIES / folder for folder in (".", "examples", "tuning"))
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}
