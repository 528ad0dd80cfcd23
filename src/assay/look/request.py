"""Requests of a look at images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from assay.core.request import DataRequest, Option

EXAMINED = 128
"""Longer side in pixels at which images are examined; smaller ones are not enlarged."""


SHARED = frozenset({"data", "target", "patient", "image", "mask", "positive", "unmatched", "unmasked", "follow_links"})
"""Fields that `assay init` and `assay audit` take, too."""


class LookRequest(DataRequest):
    """A request of `assay look`."""

    data: Annotated[Any, Option("A folder of images, or a CSV with a row per image.", "PATH", argument=True)]
    embeddings: Annotated[
        Any,
        Option(
            "Features of each image, also checked: a CSV, Parquet or NPZ, or a network, timm:NAME or hf:NAME.",
            "FILE|NAME",
        ),
    ] = None
    ids: Annotated[Path | None, Option("Names of the rows of an NPY file of embeddings, one a line.", "FILE")] = None
    size: Annotated[
        int, Option("Longer side at which images are examined, in pixels; smaller ones are not enlarged.", "PX")
    ] = EXAMINED
    follow_links: Annotated[bool, Option("Read images that links lead to, outside the folder.")] = False
    policy: Annotated[Path | None, Option("Issues that are forbidden; exit code 3 where one is found.", "FILE")] = None
    out: Annotated[Path | None, Option("The folder of the page; default: looks/NAME.", "FOLDER", short="-o")] = None
    open: Annotated[bool, Option("Open the page in a browser.")] = False
    progress: bool = False
    as_json: Annotated[bool, Option("Print JSON for machines.", "", "--json")] = False
