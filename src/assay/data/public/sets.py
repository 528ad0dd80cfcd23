"""Facts about sets that Assay knows, read from `sets.toml`: cards, licenses, and where their makers offer them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class KnownSet:
    """Facts about a set that readers need before they trust a number from it.

    Attributes:
        summary: For the card.
        license: Terms in a few words.
        source: The paper, or the makers.
        faults: Known faults, for the card.
        title: Its name; a prepared set is titled by its folder.
        line: One line for `assay list datasets`.
        columns: A folder of this set's name is recognized by these columns of its table.
        scale: Meaning of pixel values, see `PixelScale`.
        page: The makers' page.
        steps: How to get it by hand.
        archive: Address of a zip file open to all; empty where people must agree to terms first.
        sha256: Its checksum, where the makers state one; else that of the first download is recorded.
        wrapped: The archive holds one folder around the layout that Assay reads.
    """

    summary: str
    license: str
    source: str
    faults: Sequence[str]
    title: str = ""
    line: str = ""
    columns: Sequence[str] = ()
    scale: Mapping[str, Any] = field(default_factory=dict[str, Any])
    page: str = ""
    steps: str = ""
    archive: str = ""
    sha256: str = ""
    wrapped: bool = False


_ALL = {
    name: KnownSet(**facts)
    for name, facts in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}
SETS = {name: known_set for name, known_set in _ALL.items() if known_set.page}
"""Sets in their makers' layout, by the name of the dataset in a study."""
PREPARED = {name: known_set for name, known_set in _ALL.items() if known_set.columns}
"""Sets that built-in studies read as a folder with a table, by the name of the folder."""
