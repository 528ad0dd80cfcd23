"""DIARETDB1 (Kauppi et al. 2007): photographs of the retina with maps of where experts saw what; no grades."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.core.data_spec import DataSpec
from assay.core.errors import SpecError
from assay.data.cache import ArrayCache
from assay.data.cards import KnownSet
from assay.data.dataset import Dataset
from assay.data.retina_parameters import DiaretdbParams
from assay.data.sources.assemble import from_files
from assay.data.sources.findings import Sides
from assay.data.sources.listing import OWN_PATIENT
from assay.data.sources.nih import directory
from assay.data.sources.problems import Unreadable
from assay.data.sources.radiographs import Radiographs, listing_of
from assay.data.sources.retina import SUFFIXES, finder, numbered
from assay.data.sources.table import Table

_FOUND: Mapping[str, str] = {
    "exudates": "hardexudates",
    "cotton_wool": "softexudates",
    "haemorrhages": "hemorrhages",
    "microaneurysms": "redsmalldots",
}
"""Our word -> the folder of DIARETDB1's maps of it."""


def load_diaretdb1(spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, **arguments: Any) -> Dataset:
    """DIARETDB1 as two classes: whether any place was marked as the finding by so many of the experts."""
    params = DiaretdbParams.model_validate(arguments)
    root = directory(params.folder)
    places = (root, root / "images", root / "resources" / "images", root / "ddb1_v02_01" / "images")
    base = next((place for place in places if (place / "ddb1_fundusimages").is_dir()), None)
    if base is None:
        raise SpecError(
            f"data.dataset.folder: {root.name}/ has no folder 'ddb1_fundusimages'; give the one that has it"
        )
    maps = base / "ddb1_groundtruth" / _FOUND[params.finding]
    find, marked = finder(base / "ddb1_fundusimages", 0), finder(maps, 0) if maps.is_dir() else None
    if marked is None:
        raise SpecError(f"data.dataset.folder: ddb1_groundtruth/ has no folder '{maps.name}'; unpack the maps too")
    names = sorted(path.stem for path in (base / "ddb1_fundusimages").iterdir() if path.suffix.casefold() in SUFFIXES)
    table = Table("ddb1_fundusimages/", ("image", "patient"), tuple((name, name) for name in names), numbered(names))
    about = KnownSet((), "89 photographs, 84 with at least mild retinopathy", "research and education",
                     "DIARETDB1 (Kauppi et al. 2007)", ("few images, most of them ill",))  # fmt: skip
    given = Radiographs("DIARETDB1", about, table, (), find, "no file", (OWN_PATIENT,))

    def sides(rows: Table) -> tuple[Sides, Mapping[int, tuple[str, str]]]:
        codes = np.zeros(len(rows.rows), dtype=np.int64)
        wrong: dict[int, tuple[str, str]] = {}
        for at, name in enumerate(rows.column("image", "data.dataset")):
            try:
                codes[at] = _shows(marked(name), params.agreement)
            except (Unreadable, OSError):
                what = f"its map of {params.finding} is missing or cannot be read"
                wrong[at] = what, f"unpack ddb1_groundtruth/{maps.name}/ again"
        fact = f"positive where at least {params.agreement:g} of the experts marked {params.finding} anywhere"
        return Sides(codes, (f"no {params.finding}", params.finding), (fact,)), wrong

    return from_files(listing_of(given, spec, sides), spec, cache, skip_bad_rows)


def _shows(path: Path, agreement: float) -> int:
    with Image.open(path) as file:
        return int(np.asarray(file.convert("L")).max() >= round(agreement * 255))
