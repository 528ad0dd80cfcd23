"""Models that were trained elsewhere: the `models` section of a study, in place of `recipe`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assay.core.errors import CodeError, StoreError
from assay.core.files import file_hash, fill_names, is_file, read_stored_bytes
from assay.core.registry import code_of_folder, own_object
from assay.core.request import Task
from assay.core.tables import read_text
from assay.spec.data import read_header
from assay.spec.document import Document, Keys, mapping_of
from assay.spec.issues import Issues, validated
from assay.spec.recipe import ForeignNetwork, RecipeSpec
from assay.spec.schema import GivenWeights, StudySpec

# models: models.csv                       # columns path, network, seed, fold, and any others, which are axes
# models: {table: models.csv, network: resnet18, layers: [layer3], scores: logits, preprocessing: config}
#
# The section is rewritten as a recipe whose axes are the columns of the table; the rest of a study is as ever.

KEYS: Keys = ("models",)
PATH, NETWORK, SEED, FOLD = "path", "network", "seed", "fold"
AXIS = "axis"
"""Key of a study file whose list makes an axis."""
EXPORTED = "model.json"
"""File beside the weights of an exported network that describes it."""
_NOT_WITH = ("recipe", "sources", "grid", "seeds", "first_seed")


class ModelsSpec(ForeignNetwork):
    """Models that were trained elsewhere.

    Attributes:
        table: A CSV with a row for each file of weights: `path` (from the table's folder), `seed`, `network` unless it
            is given here or Assay exported the models, `fold` with `ensemble`, and any other columns, which are the
            axes of the study.
        task: Classification of images, or segmentation. Exported models have their own.
    """

    table: str
    task: Task = "classification"


@dataclass(frozen=True)
class _Row:
    line: int
    cells: Mapping[str, str]


def count_trials(spec: StudySpec) -> int:
    """Return the number of networks of a study, those that were trained elsewhere as it reads them."""
    if spec.models:
        seeds = range(spec.first_seed, spec.first_seed + spec.seeds)
        return sum(bool(spec.given(point, seed)) for point in spec.points for seed in seeds)
    return len(spec.points) * spec.seeds * (spec.data.split.folds or 1)


def take_models(document: Document, issues: Issues) -> tuple[Document, tuple[GivenWeights, ...]]:
    """Return a study with a recipe in place of its `models` section, and the files of weights.

    Args:
        document: The study; one without the section is returned as it is.
        issues: The collection that issues are added to.

    Raises:
        CodeError: The table names code that the study does not name and that this user has not run here.
    """
    section = document.values.get("models")
    if section is None:
        return document, ()
    for key in _NOT_WITH:
        if key in document.values:
            what = "models were trained elsewhere, and their table has recipes and seeds"
            issues.add((key,), "", what, f"leave `{key}` out, or `models`")
    data = mapping_of(document.values.get("data")) or {}
    if (mapping_of(data.get("split")) or {}).get("folds"):
        what = "models from elsewhere are tested on the same images, and folds are redrawn by seed"
        issues.add(("data", "split", "folds"), "", what, "give a column or shares, such as split: {column: split}")
    written = {"table": section} if isinstance(section, str) else section
    spec = validated(ModelsSpec, written, KEYS, issues)
    rows = None if spec is None else _rows(spec, document, issues)
    if spec is None or not rows:
        issues.raise_found()
        return document, ()
    reserved = {PATH, SEED, FOLD, NETWORK} & rows[0].cells.keys()
    axes = [name for name in rows[0].cells if name not in reserved]
    models = _models(spec, rows, axes, document, issues)
    networks = _distinct(rows, NETWORK) if NETWORK in reserved else [spec.network]
    _require_trusted_code(spec, networks)
    recipes = [model.recipe for model in models if model.recipe]
    if not all(networks) and len(recipes) < len(models):
        what = "name the network that the weights belong to: a model of timm, or module:function"
        issues.add((*KEYS, NETWORK), "", what, "add `network: resnet18` or `network: mymodels:make`, or such a column")
    if len({item.task for item in recipes}) > 1:
        issues.add(
            (*KEYS, "table"),
            spec.table,
            "models of classification and of segmentation are in one table",
            "write a table for each task",
        )
    of = {name: {AXIS: _distinct(rows, name)} for name in axes}
    recipe: dict[str, Any] = {**spec.model_dump(exclude={"table", "task"}), "of": of}
    recipe[NETWORK] = networks[0] if len(networks) == 1 else {AXIS: networks}
    columns = [name for name in (NETWORK, *axes) if name != NETWORK or len(networks) > 1]
    points = [dict(cells) for cells in {tuple((name, row.cells[name]) for name in columns): 0 for row in rows}]
    is_full_grid = len(points) == len(list(product(*(_distinct(rows, name) for name in columns))))
    values: dict[str, Any] = {key: value for key, value in document.values.items() if key != "models"}
    values |= {
        "recipe": {"task": recipes[0].task if recipes else spec.task, "given": recipe},
        "seeds": len({item.seed for item in models}),
    }
    values |= {} if is_full_grid else {"grid": {"only": points}}
    environments = mapping_of(values.get("environments"))
    if environments is not None:
        values["environments"] = {"train": {}, **environments}
    locations = {**document.locations, ("recipe",): document.location(KEYS), ("grid",): document.location(KEYS)}
    return replace(document, values=values, locations=locations), models


def _rows(spec: ModelsSpec, document: Document, issues: Issues) -> list[_Row]:
    path, keys = fill_names(spec.table, document.folder), (*KEYS, "table")
    if not is_file(path):
        issues.add(keys, spec.table, "there is no such file")
        return []
    header = read_header(path)
    lacking = [name for name in (PATH, SEED) if name not in header]
    if lacking or len(set(header)) < len(header):
        what = f"{path.name} has no column '{lacking[0]}'" if lacking else f"{path.name} names a column twice"
        issues.add(keys, spec.table, what, names=header)
        return []
    if AXIS in header:
        issues.add(keys, spec.table, f"a column is called '{AXIS}', as what makes one in a study: rename the column")
        return []
    lines = [(row.first, row.cells) for row in read_text(path).rows() if any(row.cells)][1:]
    rows: list[_Row] = []
    for number, cells in lines:
        if len(cells) != len(header) or not all(cell.strip() for cell in cells):
            issues.add(keys, spec.table, f"line {number} has an empty or a missing cell")
        else:
            rows.append(_Row(number, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    if not lines:
        issues.add(keys, spec.table, "it has no rows")
    return rows


def _models(
    spec: ModelsSpec, rows: Sequence[_Row], axes: Sequence[str], document: Document, issues: Issues
) -> tuple[GivenWeights, ...]:
    keys = (*KEYS, "table")
    table = fill_names(spec.table, document.folder)
    seeds = sorted({row.cells[SEED] for row in rows}, key=lambda text: (len(text), text))
    folded = FOLD in rows[0].cells
    if folded != bool(spec.ensemble):
        what = f"{table.name} has {'a' if folded else 'no'} column `fold`"
        remedy = "give `ensemble: folds`, or one model for each recipe and seed" if folded else "leave `ensemble` out"
        issues.add((*KEYS, "ensemble"), spec.ensemble, what, remedy)
    first_line: dict[object, int] = {}
    models: list[GivenWeights] = []
    for row in rows:
        file = fill_names(row.cells[PATH], str(table.parent))
        if not is_file(file):
            issues.add(keys, spec.table, f"line {row.line}: there is no file '{row.cells[PATH]}'")
            continue
        point = {name: row.cells[name] for name in axes}
        fold = row.cells.get(FOLD, "")
        key = (*point.values(), row.cells.get(NETWORK), row.cells[SEED], fold)
        if key in first_line:
            what = f"lines {first_line[key]} and {row.line} are of the same recipe and seed"
            issues.add(keys, spec.table, what, "add the column in which they differ")
        first_line.setdefault(key, row.line)
        seed, network = seeds.index(row.cells[SEED]), row.cells.get(NETWORK, "")
        sha256 = file_hash(file)
        weights = GivenWeights(path=str(file), sha256=sha256, point=point, network=network, seed=seed, fold=fold)
        if not (network or spec.network) and (file.parent / EXPORTED).is_file():
            recipe = _recipe(file.parent / EXPORTED, sha256)
            if recipe is None:
                what = (
                    f"line {row.line}: {EXPORTED} in the folder of '{row.cells[PATH]}' does not describe these weights"
                )
                issues.add(keys, spec.table, what, "export the network again")
            weights = weights.model_copy(update={"recipe": recipe})
        models.append(weights)
    return tuple(models)


def _require_trusted_code(spec: ModelsSpec, networks: Sequence[str]) -> None:
    """Check the networks that the table names: it may be another's, though the study is this user's.

    Raises:
        CodeError: One is code that the study does not name and that this user has not run here.
    """
    for network in networks:
        if ":" in network and network != spec.network:
            try:
                with code_of_folder():
                    own_object(NETWORK, network)
            except CodeError as error:
                raise CodeError(f"{spec.table}: {error}, or name it as `{NETWORK}` of `models` in the study") from error


def _recipe(path: Path, sha256: str) -> RecipeSpec | None:
    """Return the recipe of an exported network; None where its description is damaged or of other weights."""
    try:
        values = json.loads(read_stored_bytes(path).decode("utf-8"))
        with code_of_folder():
            recipe = RecipeSpec.model_validate(values["recipe"])
        return recipe if values["sha256"].startswith(sha256) and recipe.given is None else None
    except (OSError, StoreError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return None


def _distinct(rows: Sequence[_Row], name: str) -> list[str]:
    return list(dict.fromkeys(row.cells[name] for row in rows))
