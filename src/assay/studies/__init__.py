"""The studies that come with Assay: YAML files of a few dozen lines, to run, to print and to edit."""

from __future__ import annotations

from typing import Any

from assay.core.builtin import study_files
from assay.core.errors import SpecError, unknown_name
from assay.core.yaml import read_yaml


def builtin_studies() -> dict[str, str]:
    """Name -> one line about each built-in study: its first comment."""
    return {name: _first_line(file.read_text(encoding="utf-8")) for name, file in study_files().items()}


def _first_line(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ").rstrip()


def study_yaml(name: str) -> str:
    """A built-in study as YAML with its comments, ready to edit. Raises SpecError with the nearest valid name."""
    files = study_files()
    if name not in files:
        raise SpecError(unknown_name("study", name, list(files)))
    return files[name].read_text(encoding="utf-8")


def load_study_mapping(name: str) -> dict[str, Any]:
    """A built-in study as plain values: change any of them, then give it to `parse_study`.

    >>> study = load_study_mapping("nodule-loss")
    >>> study["recipe"]["epochs"] = 5
    """
    study_yaml(name)  # refuses an unknown name
    return read_yaml(study_files()[name]).values
