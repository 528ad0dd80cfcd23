"""What a model's layers look like as geometry: how many dimensions they use, and how far training moved them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from assay.core.measures import INDEPENDENT, NEUTRAL
from assay.core.seeds import row_uniform
from assay.core.types import Factor, FactorTable, Measurement, undefined
from assay.data.levels import levels_of
from assay.probes import spectra
from assay.probes.probe import Model, Reading, Request, Sampled, Scope
from assay.probes.separation import separation
from assay.probes.spectra import Scalar
from assay.shifts.environment import Environment, Scene
from assay.stats.similarity import cka_matrix, mutual_neighbours, procrustes, rsa, undefined_for, varying

TRAINED, UNTRAINED = "trained", "untrained"
NEIGHBOURS = 10
"""Of the mutual nearest neighbours."""
Layers = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The images on which a model's layers are described: which rows of the environment, and what is known of them."""

    index: np.ndarray
    table: FactorTable
    environment: str

    @property
    def per_patient(self) -> np.ndarray:
        """Positions of one image of each patient."""
        return np.sort(np.unique(self.table.patient, return_index=True)[1])


class Representation:
    """Implements `Probe`. What is claimed is geometry: it says nothing of what is encoded or used.

    On activations pooled to one vector per image (maps by their mean over space, see `Recorder`), of a sample of
    `images` rows of one environment that is the same for every model, since most of these numbers change with n.

    Per layer, of the `trained` and (group `untrained`) the network as it was before training: `eigenvalue-share` by
    rank (`level`), `components-90`, `effective-rank`, `rankme`, `participation-ratio`, `condition-number`,
    `condition-number-90-10`, `kurtosis`, `constant-units`, `intrinsic-dimension` (one image per patient),
    `class-separation`, and `factor-separation` by each factor's levels or halves. See `spectra` and `separation`.

    Between layers: `cka` of a layer and another (`level`) of the same network, and under the group `untrained` of every
    layer and every layer before training; and how far training moved a layer: `cka-to-untrained`, with
    `procrustes-to-untrained`, `rsa-to-untrained` and `neighbours-to-untrained` as second opinions. See `similarity`.

    environment: `(neutral)`, test rows in which no factor that a test environment ties is tied to the target (of files
    without ties all of them, whatever they are mixed of); `(independent)`, where on
    phantoms the target is a coin's, so that there is no class to separate; or a test environment.
    NaN with the reason: a constant layer, under 4 images, a ratio to an eigenvalue of 0, a factor of one level. Where
    there are fewer images than units, `effective-rank` and `rankme` say so; the others are debiased or undefined.

    kept: of these images, the number whose activations are kept beside the measurements, so that models can be
    compared with each other later; none of 0.
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(self, *, images: int = 1000, kept: int = 500, environment: str = NEUTRAL) -> None:
        self.images = images
        self.most_kept = min(kept, images)
        self.environment = environment

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """One environment, all layers, of the trained and the untrained network."""
        asked = Request(self._environment(scene), model.layers)
        return (asked,) if model.untrained is None else (asked, replace(asked, untrained=True))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """By network and layer, then between layers."""
        model, environment = reading.model, self._environment(scene)
        if not model.layers:
            return [undefined("effective-rank", "the model names no layers to read", environment=environment.name)]
        rows = self._rows(environment, self.images)
        trained = _sampled(reading, environment, rows)
        found = [m for layer, x in trained.items() for m in _described(x, layer, TRAINED, rows)]
        found += _between(trained, trained, TRAINED, rows)
        if model.untrained is not None:
            blank = _sampled(reading, environment, rows, untrained=True)
            found += [m for layer, x in blank.items() for m in _described(x, layer, UNTRAINED, rows)]
            found += _between(trained, blank, UNTRAINED, rows)
            found += [m for layer in trained for m in _moved(trained[layer], blank[layer], layer, rows)]
        return found

    def kept(self, reading: Reading, scene: Scene) -> Sampled | None:
        """Pooled activations of the trained network, float32: 4 bytes x images x units of all layers."""
        if not (self.most_kept and reading.model.layers):
            return None
        environment = self._environment(scene)
        rows = self._rows(environment, self.most_kept)
        return Sampled(rows.table.row, dict(_sampled(reading, environment, rows)))

    def _environment(self, scene: Scene) -> Environment:
        if self.environment == NEUTRAL:
            return scene.neutral()
        return scene.independent() if self.environment == INDEPENDENT else scene.environment(self.environment)

    def _rows(self, environment: Environment, images: int) -> _Rows:
        """The rows with the smallest of numbers drawn from the row alone, so that every model has the same ones."""
        drawn = row_uniform(0, "representation", environment.table.row)
        index = np.sort(np.argsort(drawn, kind="stable")[:images])
        return _Rows(index, environment.table.take(index), environment.name)


def _sampled(reading: Reading, environment: Environment, rows: _Rows, *, untrained: bool = False) -> Layers:
    read = reading.read(environment, untrained=untrained).activations
    return {layer: read[layer][rows.index] for layer in reading.model.layers}


def _described(x: np.ndarray, layer: str, group: str, rows: _Rows) -> Iterator[Measurement]:
    """All that is said of one layer by itself."""
    n, units = x.shape
    values = spectra.eigenvalues(x)
    few = f"{n} images for {units} units: it cannot exceed" if n <= units else ""
    yield _one("constant-units", Scalar(1 - float(varying(x).mean())), layer, group, rows, unit="share of units")
    for measure, value, said in (
        ("effective-rank", spectra.effective_rank(values), f"{few} {n - 1}" if few else ""),
        ("rankme", spectra.rankme(x), f"{few} {n}" if few else ""),
        ("participation-ratio", spectra.participation_ratio(x), ""),
        ("components-90", float(spectra.components(values) or math.nan), ""),
    ):
        reason = (undefined_for(x) or "all activations are 0") if math.isnan(value) else said
        yield _one(measure, Scalar(value, reason), layer, group, rows, unit="dimensions")
    for measure, scalar in (
        ("condition-number", spectra.condition(values)),
        ("condition-number-90-10", spectra.condition_percentiles(values)),
    ):
        yield _one(measure, scalar, layer, group, rows, unit="ratio")
    excess = spectra.kurtosis(x)
    reason = undefined_for(x) if math.isnan(excess) else ""
    yield _one("kurtosis", Scalar(excess, reason), layer, group, rows)
    dimension = spectra.intrinsic_dimension(x[rows.per_patient])
    yield _one("intrinsic-dimension", dimension, layer, group, rows, unit="dimensions")
    yield from _shares(values, layer, group, rows)
    yield from _separations(x, layer, group, rows)


def _shares(values: np.ndarray, layer: str, group: str, rows: _Rows) -> Iterator[Measurement]:
    """The spectrum at the ranks 1, 2, 4, 8 and so on: each one's share of the variance."""
    total = float(values.sum())
    for rank in (2**i for i in range(int(np.count_nonzero(values)).bit_length())):
        share = Scalar(float(values[rank - 1]) / total)
        yield _one("eigenvalue-share", share, layer, group, rows, level=str(rank), unit="share of variance")


def _separations(x: np.ndarray, layer: str, group: str, rows: _Rows) -> Iterator[Measurement]:
    """By class, then by every factor."""
    table = rows.table
    chance = 0.0 if len(np.unique(table.patient)) == len(table) else math.nan
    grouped = [
        ("class-separation", "", table.target),
        *(("factor-separation", f.name, _codes(f, table)) for f in table.factors),
    ]
    for measure, factor, codes in grouped:
        scalar = separation(x, codes, table.patient)
        yield _one(measure, scalar, layer, group, rows, factor=factor, unit="share of variance", chance=chance)


def _codes(factor: Factor, table: FactorTable) -> np.ndarray:
    """A factor's levels, or its halves where it has none."""
    column = table.columns[factor.name]
    levels = levels_of(factor, column)
    return levels.of(column) if levels.names else np.full(len(table), -1)


def _between(ones: Layers, others: Layers, group: str, rows: _Rows) -> Iterator[Measurement]:
    """CKA of all pairs of layers: of one network each pair once."""
    matrix = cka_matrix(list(ones.values()), list(others.values()))
    for i, one in enumerate(ones):
        for j, other in enumerate(others):
            if ones is not others or i < j:
                scalar = _compared(float(matrix[i, j]), ones[one], others[other])
                yield _one("cka", scalar, one, group, rows, level=other, chance=0.0)


def _moved(x: np.ndarray, y: np.ndarray, layer: str, rows: _Rows) -> Iterator[Measurement]:
    """How alike a layer is to itself before training."""
    n = len(x)
    for measure, value, chance in (
        ("cka-to-untrained", float(cka_matrix([x], [y])[0, 0]), 0.0),
        ("procrustes-to-untrained", procrustes(x, y), math.nan),
        ("rsa-to-untrained", rsa(x, y), 0.0),
        ("neighbours-to-untrained", mutual_neighbours(x, y, NEIGHBOURS), NEIGHBOURS / (n - 1) if n > 1 else math.nan),
    ):
        yield _one(measure, _compared(value, x, y), layer, TRAINED, rows, chance=chance)


def _compared(value: float, x: np.ndarray, y: np.ndarray) -> Scalar:
    if not math.isnan(value):
        return Scalar(value)
    few = f"{len(x)} images, more than {NEIGHBOURS + 1} are needed for {NEIGHBOURS} neighbours"
    return Scalar(value, undefined_for(x) or undefined_for(y) or few)


def _one(measure: str, scalar: Scalar, layer: str, group: str, rows: _Rows, **more: str | float) -> Measurement:
    """A measurement of a layer."""
    return Measurement(
        measure,
        scalar.value,
        environment=rows.environment,
        layer=layer,
        group=group,
        n=len(rows.index) if scalar.n is None else scalar.n,
        patients=len(np.unique(rows.table.patient)),
        standard_error=scalar.error,
        reason=scalar.reason,
        **more,  # pyright: ignore[reportArgumentType]
    )
