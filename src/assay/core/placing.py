"""The line of a study that names what turned out to be wrong only when it was read."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.core.document import leaves
from assay.core.errors import WeightsError
from assay.core.overrides import Override, apply_scale, apply_sets
from assay.core.parsing import read_study
from assay.core.paths import filled
from assay.core.problems import Problem, show


@contextmanager
def placing(
    source: Path | str | Mapping[str, Any], overrides: Sequence[Override] = (), scale: str | None = None
) -> Generator[None]:
    """Weights that cannot be a start are told with the place where the study names them, as all of a spec is.

    The arguments are those of `parse_study`. The study is read again: what was made of it holds no lines.
    """
    try:
        yield
    except WeightsError as error:
        document = apply_sets(apply_scale(read_study(source), scale), overrides)
        for keys, value in leaves(document.values):
            of_study = isinstance(value, str) and keys[0] != "scales"
            if of_study and error.given in (value, str(filled(value, document.folder))):
                raise WeightsError(Problem(keys, show(value), str(error)).text(document)) from error
        raise
