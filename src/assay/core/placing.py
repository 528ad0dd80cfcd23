"""The line of a study that names what turned out to be wrong only when it was read."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.core.document import Document, Keys, leaves, nodes
from assay.core.errors import UnfitError, WeightsError
from assay.core.overrides import Override, apply_scale, apply_sets
from assay.core.parsing import read_study
from assay.core.paths import filled
from assay.core.problems import Problem, Problems, show


@contextmanager
def placing(
    source: Path | str | Mapping[str, Any], overrides: Sequence[Override] = (), scale: str | None = None
) -> Generator[None]:
    """Weights that cannot be a start, and interventions that the images cannot carry, are told with the place where
    the study names them, as all of a spec is.

    The arguments are those of `parse_study`. The study is read again: what was made of it holds no lines.
    """

    def written() -> Document:
        return apply_sets(apply_scale(read_study(source), scale), overrides)

    try:
        yield
    except UnfitError as error:
        problems = Problems(written())
        for name, (arguments, why) in error.refused.items():
            keys, value = _intervention(problems.document, name, arguments)
            problems.add(keys, value, why)
        problems.stop()
    except WeightsError as error:
        document = written()
        for keys, value in leaves(document.values):
            of_study = isinstance(value, str) and keys[0] != "scales"
            if of_study and error.given in (value, str(filled(value, document.folder))):
                raise WeightsError(Problem(keys, show(value), str(error)).text(document)) from error
        raise


def _intervention(document: Document, name: str, arguments: Mapping[str, Any]) -> tuple[Keys, Any]:
    """Where an intervention stands with these arguments, or at all, and what stands there; its name where nowhere.

    Where the command line changed one of them, that one.
    """
    named = [
        (keys, value)
        for keys, value in nodes(document.values)
        if name in (keys[-1], value) and keys[0] != "scales" and not {"interventions", "confounder"}.isdisjoint(keys)
    ]
    alike = [(keys, value) for keys, value in named if _holds(value, arguments)]
    keys, value = next(iter(alike or named), ((name,), dict(arguments)))
    asked = [found for found in nodes(value, keys) if document.place(found[0]).startswith("--set")]
    return (keys, value) if document.place(keys).startswith("--set") else next(iter(asked), (keys, value))


def _holds(value: Any, arguments: Mapping[str, Any]) -> bool:
    held = [(keys[-1], inside) for keys, inside in nodes(value)]
    return all(argument in held for argument in arguments.items())
