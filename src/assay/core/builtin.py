"""The studies that come with Assay: YAML files in the package, found without importing anything."""

from __future__ import annotations

from pathlib import Path

STUDIES = Path(__file__).parent.parent / "studies"


def study_files() -> dict[str, Path]:
    """Name -> file of every built-in study: those on phantoms first, then the examples on real images."""
    files = [*sorted(STUDIES.glob("*.yaml")), *sorted((STUDIES / "examples").glob("*.yaml"))]
    return {file.stem: file for file in files}
