"""Requests of a look at images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from assay.core.request import DataRequest, Option


class LookRequest(DataRequest):
    """A request of `assay look`."""

    data: Annotated[Any, Option("A folder of images, or a CSV with a row per image.", "PATH", argument=True)]
    embeddings: Annotated[
        Path | None,
        Option("Columns of numbers by image, such as a network's features; they judge labels.", "FILE.csv"),
    ] = None
    size: Annotated[int, Option("Side at which images are looked at.", "PX")] = 128
    policy: Annotated[Path | None, Option("Issues that are forbidden; exit code 3 where one is found.", "FILE")] = None
    out: Annotated[Path | None, Option("The folder of the page; default: looks/NAME.", "FOLDER", short="-o")] = None
    open: Annotated[bool, Option("Open the page in a browser.")] = False
    progress: bool = False
    as_json: Annotated[bool, Option("Print JSON for machines.", "", "--json")] = False
