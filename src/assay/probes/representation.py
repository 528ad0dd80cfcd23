"""Statistics of layers: spectra, dimensions, separation of classes and factors, and similarity of layers.

Activations come from the reading of a model, pooled to one vector per image; factors from the environment's table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from torch import nn

from assay.core.measures import MEASURES, NEUTRAL, OF_MAPS, Measure, register_measures
from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.registry import component
from assay.core.types import Contributions, Factor, FactorTable, Measurement, undefined
from assay.data.dataset import levels_of
from assay.models.ref import Model
from assay.models.untyped import named_layers
from assay.probes.probe import (
    Reading,
    Request,
    SampledActivations,
    Scope,
    SourceOfImages,
    environment_named,
    requests_with_untrained,
    sample_rows,
)
from assay.probes.reader import GramMatrices, standardized_grams
from assay.shifts.environment import Environment, PickedImages, Scene
from assay.stats.influence import sum_by_patient
from assay.stats.metrics import is_varying
from assay.stats.similarity import center, cka_matrix, hsic, squared_distances, undefined_reason

_layer_measure = partial(Measure, probe="representation", needs=("layer",), environment=NEUTRAL)
_dimension_measure = partial(_layer_measure, unit="dimensions", low=1.0)
_similarity_measure = partial(_layer_measure, low=0.0, high=1.0)

register_measures(
    _dimension_measure(
        "effective-rank", meaning="number of directions with variance, by entropy", reference="Roy and Vetterli 2007"
    ),
    _dimension_measure(
        "rankme", meaning="effective rank without centering", display="RankMe", reference="Garrido et al. 2023"
    ),
    _dimension_measure(
        "participation-ratio", meaning="number of directions with variance, by squares", reference="Gao et al. 2017"
    ),
    _dimension_measure(
        "components-90",
        meaning="number of directions with 90% of the variance",
        display="components for 90% of the variance",
    ),
    _layer_measure("condition-number", meaning="greatest over least eigenvalue", unit="ratio", low=1.0),
    _layer_measure(
        "condition-number-90-10",
        meaning="90th over 10th percentile of the eigenvalues",
        unit="ratio",
        low=1.0,
        display="condition number, 90th over 10th percentile",
    ),
    _layer_measure(
        OF_MAPS,
        meaning="99.9th over 90th percentile of 100 eigenvalues of the flattened maps",
        unit="ratio",
        low=1.0,
        option="maps",
        display="condition number of flattened maps",
        reference="Srinivasan et al. 2022",
    ),
    _layer_measure("kurtosis", meaning="excess kurtosis of units; 0 for normal ones", low=-2.0),
    _dimension_measure(
        "intrinsic-dimension",
        meaning="dimension of the images' activations, by nearest neighbors",
        low=0.0,
        reference="Facco et al. 2017",
    ),
    _layer_measure(
        "constant-units",
        meaning="share of units with the same value for all images",
        unit="share of units",
        low=0.0,
        high=1.0,
    ),
    _layer_measure(
        "class-separation",
        meaning="share of the layer's variance between classes",
        unit="share of variance",
        low=0.0,
        high=1.0,
        chance=0.0,
        reference="Kelley 1935",
    ),
    _similarity_measure(
        "cka-to-untrained",
        meaning="similarity to the same layer before training, by centered kernel alignment",
        display="CKA with the layer before training",
        chance=0.0,
        reference="Kornblith et al. 2019; Song et al. 2012",
    ),
    _similarity_measure(
        "cka",
        meaning="similarity of two layers, by centered kernel alignment",
        display="CKA",
        chance=0.0,
        low=-math.inf,
        high=math.inf,
        compared=False,
        reference="Kornblith et al. 2019; Song et al. 2012",
    ),
    _layer_measure(
        "eigenvalue-share",
        meaning="share of the layer's variance of the eigenvalue at a rank",
        unit="share of variance",
        compared=False,
    ),
    _layer_measure(
        "eigenvalue-share-maps",
        meaning="share of the variance of a layer's flattened maps of the eigenvalue at a rank",
        unit="share of variance",
        display="eigenvalue share of flattened maps",
        compared=False,
        reference="Srinivasan et al. 2022",
    ),
    Measure(
        "factor-separation",
        "representation",
        "share of the layer's variance between levels of a factor",
        unit="share of variance",
        low=0.0,
        high=1.0,
        needs=("factor", "layer"),
        environment=NEUTRAL,
        chance=0.0,
        reference="Kelley 1935",
    ),
)

# Statistics of one representation: eigenvalues and their summaries, units, intrinsic dimension.
#
# A representation is a matrix [n, d] of finite numbers, a row per image, a column per unit.

PERCENTILES = (10.0, 90.0)
"""Percentiles of the eigenvalues whose ratio is the robust condition number."""
COMPONENTS, MAP_PERCENTILES = 100, (90.0, 99.9)
"""Number of leading eigenvalues of standardized maps, and their percentiles whose ratio is the condition number."""
MIN_EIGENVALUE_SHARE = 1e-12
"""Share of the greatest eigenvalue under which an eigenvalue counts as 0, by the precision of float32."""
FITTED_SHARE = 0.9
"""Share of the images, those with the smallest ratios of distances, that the intrinsic dimension is fitted to."""
MIN_DISTINCT = 20
"""Least number of distinct images for an intrinsic dimension."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A statistic with its standard error, or NaN with a reason.

    Attributes:
        value: The value.
        reason: Why it is undefined or doubtful.
        error: Its standard error; NaN without one.
        n: Number of images that it is computed from; None for all.
        contributions: Contributions of patients, where its error is over patients.
    """

    value: float
    reason: Reason = NO_REASON
    error: float = math.nan
    n: int | None = None
    contributions: Contributions | None = field(default=None, compare=False)


def eigenvalues(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """Return the eigenvalues of the units' covariance (n - 1 in the denominator), greatest first.

    As many as there are units: those beyond the rank of n - 1 images, of constant units, and under 1e-12 of the
    greatest, are 0.
    """
    n, d = features.shape
    x = features[:, is_varying(features)].astype(np.float64)
    x -= x.mean(axis=0)
    spectrum = np.zeros(d)
    rank = min(n - 1, x.shape[1])
    if rank > 0:
        values = np.linalg.eigvalsh(x.T @ x if x.shape[1] <= n else x @ x.T)[::-1][:rank] / (n - 1)
        spectrum[:rank] = np.where(values > MIN_EIGENVALUE_SHARE * values[0], values, 0.0)
    return spectrum


def effective_rank(values: Float[np.ndarray, " d"]) -> float:
    """Return the exponential of the entropy of the square roots of the eigenvalues, as shares of their sum (Roy and
    Vetterli 2007): from 1 to the number of eigenvalues that are not 0. NaN where all are.
    """
    return _exponential_entropy(np.sqrt(values), 0.0)


def rankme(features: Float[np.ndarray, "n d"]) -> float:
    """RankMe as published (Garrido et al. 2023): as `effective_rank`, of the singular values of the activations without
    centering, 1e-7 being added to each share. Units that answer all images alike count there, as one dimension.
    """
    x = features.astype(np.float64)
    values = np.linalg.eigvalsh(x.T @ x if x.shape[1] <= len(x) else x @ x.T)
    return _exponential_entropy(np.sqrt(np.maximum(values, 0.0)), 1e-7)


def _exponential_entropy(sizes: np.ndarray, offset: float) -> float:
    if not sizes.any():
        return math.nan
    shares = sizes / sizes.sum() + offset
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def participation_ratio(features: Float[np.ndarray, "n d"]) -> float:
    """(sum of eigenvalues)^2 over the sum of their squares, in dimensions: k where k directions vary alike, from 1 on.

    The plain ratio cannot exceed n - 1 and is far below the truth with fewer images than units. Here the sum of squares
    is estimated without bias (`similarity.hsic` of the representation with itself). NaN where all images lie equally
    far apart, or are fewer than 4.
    """
    if len(features) < 4 or not center(features).size:
        return math.nan
    x = center(features)
    squares = hsic(x, x)
    trace = len(x) / (len(x) - 1)  # of the covariance: rows have a mean square of 1
    return trace**2 / squares if squares > MIN_EIGENVALUE_SHARE * trace**2 else math.nan


def condition_number(values: Float[np.ndarray, " d"]) -> Scalar:
    """The greatest eigenvalue over the least, from 1 on. NaN where the least is 0: it would be infinite."""
    return _ratio(values, float(values[-1]), float(values[0]), 0)


def percentile_condition_number(values: Float[np.ndarray, " d"]) -> Scalar:
    """Return the 90th percentile of the eigenvalues over the 10th, from 1 on: robust to a single dead direction."""
    low, high = (float(np.percentile(values, percentile)) for percentile in PERCENTILES)
    return _ratio(values, low, high, PERCENTILES[0])


def eigenvalues_of_maps(gram: GramMatrices) -> Float[np.ndarray, " d"]:
    """Return the eigenvalues of a layer's standardized, flattened maps (n - 1 in the denominator), greatest first.

    Args:
        gram: inner products of the images, see `standardized_grams`.

    Returns:
        The 100 greatest, whose sum over all is `varying` times n / (n - 1). Empty under 101 images, or under 100
        numbers that vary.
    """
    n = len(gram.products)
    if min(n - 1, gram.varying) < COMPONENTS:
        return np.zeros(0)
    values = np.linalg.eigvalsh(gram.products)[::-1][:COMPONENTS] / (n - 1)
    return np.where(values > MIN_EIGENVALUE_SHARE * values[0], values, 0.0)


def map_condition_number(gram: GramMatrices) -> Scalar:
    """Compute the condition number of a layer's maps: a ratio of percentiles of its leading eigenvalues, from 1 on.

    The 99.9th percentile over the 90th of the 100 greatest eigenvalues of a principal component analysis of
    standardized, flattened maps: between the first and the second over between the tenth and the eleventh.

    Args:
        gram: inner products of the images, see `standardized_grams`.

    Returns:
        The ratio. NaN under 101 images, under 100 numbers that vary, or where the divisor is 0.

    References:
        Srinivasan et al. (2022), "To pretrain or not?", PLoS ONE 17(10), e0274291: `tools/pca.py` of its code.
    """
    values = eigenvalues_of_maps(gram)
    if not len(values):
        n = len(gram.products)
        return Scalar(
            math.nan,
            Reason.of(Code.FEW_FOR_EIGENVALUES, images=n, varying=gram.varying, eigenvalues=COMPONENTS),
        )
    low, high = (float(np.percentile(values, percentile)) for percentile in MAP_PERCENTILES)
    return _ratio(values, low, high, MAP_PERCENTILES[0])


def _ratio(values: np.ndarray, low: float, high: float, percentile: float) -> Scalar:
    nonzero = int(np.count_nonzero(values))
    if low > 0:
        return Scalar(high / low)
    zero = Reason.of(Code.EIGENVALUE_ZERO, percentile=percentile, varying=nonzero, directions=len(values))
    return Scalar(math.nan, zero)


def components_for_share(values: Float[np.ndarray, " d"], share: float = 0.9) -> int:
    """Return how many of the greatest eigenvalues have this share of the variance; 0 without any variance."""
    total = float(values.sum())
    return int(np.count_nonzero(np.cumsum(values) < share * total * (1 - 1e-12))) + 1 if total > 0 else 0


def kurtosis(features: Float[np.ndarray, "n d"]) -> float:
    """Return the excess kurtosis of a unit over the images, mean over the units that vary: 0 for normal ones, high for
    units that answer few images. The estimator G2, without bias for normal units. NaN under 4 images or if none varies.
    """
    n = len(features)
    x = center(features)
    if n < 4 or not x.size:
        return math.nan
    excess = n * (x**4).sum(axis=0) / (x**2).sum(axis=0) ** 2 - 3
    return float(((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6)).mean())


def intrinsic_dimension(features: Float[np.ndarray, "n d"]) -> Scalar:
    """Return the dimension of the surface on which the images lie, by their two nearest neighbors (TwoNN, Facco et al.
    2017).

    The logarithm of the ratio of the two distances is exponential with the dimension as its rate. The tenth of the
    images with the largest ratios is counted as censored, and the rate estimated without bias from the rest; the
    published fit of a line leaves the same tenth out. The error is d / sqrt(m - 2) for m images kept, ratios taken as
    independent; since they share neighbors, it comes out too small: on 5 dimensions by a fifth at 200 images and by a
    third at 1,000. Images with the very same activations count once. A thousand images lie too thinly above some 5
    dimensions: on spheres of 10 and 20 it comes out at 9.3 and 17. NaN with under 20 distinct images, or where no ratio
    differs from 1.
    """
    distinct = np.unique(features, axis=0)
    n = len(distinct)
    x = center(distinct)
    if n < MIN_DISTINCT or not x.size:
        return Scalar(math.nan, Reason.of(Code.FEW_DISTINCT_IMAGES, images=n, least=MIN_DISTINCT), n=n)
    near = _two_nearest(x)
    if not near[:, 0].all():
        return Scalar(math.nan, Reason.of(Code.WITHIN_ROUNDING), n=n)
    logs = np.sort(np.log(near[:, 1] / near[:, 0]))
    fitted = int(FITTED_SHARE * n)
    total = float(logs[:fitted].sum() + (n - fitted) * logs[fitted - 1])
    if total < 1e-9 * n:
        return Scalar(math.nan, Reason.of(Code.EQUAL_DISTANCES), n=n)
    value = (fitted - 1) / total
    return Scalar(value, NO_REASON, value / math.sqrt(fitted - 2), n)


def _two_nearest(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    """Return the distances to the two nearest images, from differences, since squared distances lose precision."""
    distances = squared_distances(x)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, 2, axis=1)[:, :3]
    exact = np.stack([np.linalg.norm(x - x[neighbor], axis=1) for neighbor in nearest.T], axis=1)
    return np.sort(exact, axis=1)[:, :2]


# Separation of groups of images in a representation.


def separation(
    features: Float[np.ndarray, "n d"], group: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]
) -> Scalar:
    """Return the share of a representation's variance that is between groups, up to 1: 1 - (W / (n - g)) / (T / (n -
    1)).

    W and T are the summed squared distances to the group's mean and to the mean of all, over all units; g counts the
    groups. Corrected for the degrees of freedom that g means take up (Kelley's epsilon squared): without a difference
    its expectation is about 0 whatever n and d, where images are independent, and it may be negative, which is kept.
    Rotation, shift and one scale for all units change nothing.

    Args:
        group: A code per row, negative where it has none; such rows are left out, and groups of a single image. The
            error is over patients. NaN with fewer than two groups, or where the images that are left are all alike.
    """
    codes, group_number, counts = np.unique(group, return_inverse=True, return_counts=True)
    rows = ((codes >= 0) & (counts > 1))[group_number]
    _, group_number, counts = np.unique(group[rows], return_inverse=True, return_counts=True)
    n, groups = int(rows.sum()), len(counts)
    if groups < 2:
        return Scalar(math.nan, Reason.of(Code.FEW_GROUPS), n=n)
    x = center(features[rows])
    if not x.size:
        return Scalar(math.nan, Reason.of(Code.CONSTANT_LAYER), n=n)
    means = np.zeros((groups, x.shape[1]))
    np.add.at(means, group_number, x)
    means /= counts[:, None]
    squared_residuals, total = ((x - means[group_number]) ** 2).sum(axis=1), (x**2).sum(axis=1)
    within, correction = float(squared_residuals.sum() / total.sum()), (n - 1) / (n - groups)
    influence = -correction * (squared_residuals - within * total) / total.sum()
    clustered = sum_by_patient(influence, patient[rows])
    return Scalar(1 - correction * within, NO_REASON, clustered.standard_error, n, clustered)


# Geometry of a model's layers: how many dimensions they use, and how far training moved them.

TRAINED, UNTRAINED = "trained", "untrained"
Layers = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The images on which layers are described.

    Attributes:
        index: Their positions in the environment.
        table: Their factors, targets and patients.
        environment: Name of the environment.
    """

    index: np.ndarray
    table: FactorTable
    environment: str

    @property
    def per_patient(self) -> np.ndarray:
        """Positions of one image of each patient."""
        return np.sort(np.unique(self.table.patient, return_index=True)[1])


@component(
    "probe",
    "representation",
    summary="the geometry of each layer: spectrum, dimensions, separation, and how far training moved it (CKA)",
    version=5,
)
class Representation:
    """Implements `Probe`. The claim is geometry, not encoding or use.

    On activations pooled to one vector per image (maps by their mean over space, see `Recorder`), of a sample of
    `images` rows of one environment that is the same for every model, since most of these numbers change with n.

    Per layer, of the `trained` and (group `untrained`) the network as it was before training: `eigenvalue-share` by
    rank (`level`), `components-90`, `effective-rank`, `rankme`, `participation-ratio`, `condition-number`,
    `condition-number-90-10`, `kurtosis`, `constant-units`, `intrinsic-dimension` (one image per patient),
    `class-separation`, and `factor-separation` by each factor's levels or halves. See `eigenvalues` and `separation`.

    Between layers: `cka` of a layer and another (`level`) of the same network, and under the group `untrained` of every
    layer and every layer before training; and how far training moved a layer: `cka-to-untrained`. See `similarity`.

    environment: `(neutral)`, test rows in which no factor that a test environment ties is tied to the target (of files
    without ties all of them, whatever they are mixed of); `(independent)`, where on phantoms the target is a coin's, so
    that there is no class to separate; or a test environment. NaN with the reason: a constant layer, under 4 images, a
    ratio to an eigenvalue of 0, a factor of one level. Where there are fewer images than units, `effective-rank` and
    `rankme` say so; the others are debiased or undefined.

    maps: the number of images on which `condition-number-maps` and `eigenvalue-share-maps` (by rank) are computed, of
    both networks, from activations that are flattened in place of pooled, of the first convolution too: 0 for none.
    kept: of these images, the number whose activations are kept next to the measurements, so that models can be
    compared with each other later; none of 0.

    Examples:
        A layer of 10 units, in which the margin, which is the target, and the tag set images apart:

        >>> from assay.plugin import run_probes
        >>> from assay.testing.probe import PixelReader, World
        >>> model = Model(PixelReader({"tag": 1.0}, carried=("margin", "tag")), layers=("vector",))
        >>> result = run_probes(model, World(), {"representation": Representation(images=200)})
        >>> found = {(one.measure, one.factor): one.value for one in result.measurements["representation"]}
        >>> 9 < found["effective-rank", ""] < 10
        True
        >>> [name for name in ("margin", "texture", "size", "tag") if found["factor-separation", name] > 0.1]
        ['margin', 'tag']
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(
        self,
        *,
        images: Annotated[
            int, Field(ge=20, le=4000, description="images that layers are described on, the same ones for every model")
        ] = 1000,
        kept: Annotated[
            int,
            Field(
                ge=0,
                le=4000,
                description="of these, images whose activations are kept to compare models by; 0 for none",
            ),
        ] = 500,
        maps: Annotated[
            int,
            Field(
                ge=0,
                le=1000,
                description="images whose flattened maps are described, of the first convolution too; 0 for none",
            ),
        ] = 0,
        environment: SourceOfImages = NEUTRAL,
    ) -> None:
        self.images = images
        self.maps = maps
        self.max_kept = min(kept, images)
        self.environment = environment

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return one environment with all layers, for the trained and the untrained network."""
        return requests_with_untrained(model, environment_named(scene, self.environment))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return the measurements by network and layer, then those between layers, then those of maps."""
        model, environment = reading.model, environment_named(scene, self.environment)
        if not model.layers:
            return [undefined("effective-rank", Code.NO_LAYERS, environment=environment.name)]
        rows = self._rows(environment, self.images)
        trained = _layer_activations(reading, environment, rows)
        measurements = [m for layer, x in trained.items() for m in _layer_measurements(x, layer, TRAINED, rows)]
        measurements += _cka_between_layers(trained, trained, TRAINED, rows)
        if model.untrained is not None:
            untrained = _layer_activations(reading, environment, rows, untrained=True)
            measurements += [
                m for layer, x in untrained.items() for m in _layer_measurements(x, layer, UNTRAINED, rows)
            ]
            measurements += _cka_between_layers(trained, untrained, UNTRAINED, rows)
            measurements += [_cka_to_untrained(trained[layer], untrained[layer], layer, rows) for layer in trained]
        return [*measurements, *self._of_maps(model, environment)]

    def _of_maps(self, model: Model, environment: Environment) -> Iterator[Measurement]:
        """Measure the maps of the network, then of the one before training."""
        if not self.maps:
            return
        rows = self._rows(environment, self.maps)
        images = PickedImages(environment.images, rows.index)
        for group, make in ((TRAINED, lambda: model.network), (UNTRAINED, model.untrained)):
            if make is not None:
                network = make().to(model.device)
                convolutions = (name for name, module in named_layers(network) if isinstance(module, nn.Conv2d))
                layers = tuple(dict.fromkeys((*islice(convolutions, 1), *model.layers)))
                for layer, gram in standardized_grams(network, layers, images, model.device).items():
                    yield _layer_measurement(OF_MAPS, map_condition_number(gram), layer, group, rows)
                    total = gram.varying * len(images) / (len(images) - 1)
                    yield from _spectrum(eigenvalues_of_maps(gram), layer, group, rows, total, "eigenvalue-share-maps")

    def kept(self, reading: Reading, scene: Scene) -> SampledActivations | None:
        """Return pooled activations of the trained network, float32: 4 bytes x images x units of all layers."""
        if not (self.max_kept and reading.model.layers):
            return None
        environment = environment_named(scene, self.environment)
        rows = self._rows(environment, self.max_kept)
        return SampledActivations(rows.table.row, dict(_layer_activations(reading, environment, rows)))

    def _rows(self, environment: Environment, images: int) -> _Rows:
        """Return the rows that layers are described on."""
        index = sample_rows("representation", environment.table, images)
        return _Rows(index, environment.table.take(index), environment.name)


def _layer_activations(reading: Reading, environment: Environment, rows: _Rows, *, untrained: bool = False) -> Layers:
    activations = reading.read(environment, untrained=untrained).activations
    return {layer: activations[layer][rows.index] for layer in reading.model.layers}


def _layer_measurements(x: np.ndarray, layer: str, group: str, rows: _Rows) -> Iterator[Measurement]:
    """Yield the measurements of one layer by itself."""
    n, units = x.shape
    values = eigenvalues(x)

    def rank_reason(most: int) -> Reason:
        return Reason.of(Code.LIMITED_RANK, images=n, units=units, most=most) if n <= units else NO_REASON

    yield _layer_measurement("constant-units", Scalar(1 - float(is_varying(x).mean())), layer, group, rows)
    for measure, value, reason_of_rank in (
        ("effective-rank", effective_rank(values), rank_reason(n - 1)),
        ("rankme", rankme(x), rank_reason(n)),
        ("participation-ratio", participation_ratio(x), NO_REASON),
        ("components-90", float(components_for_share(values) or math.nan), NO_REASON),
    ):
        reason = (undefined_reason(x) or Reason.of(Code.ZERO_ACTIVATIONS)) if math.isnan(value) else reason_of_rank
        yield _layer_measurement(measure, Scalar(value, reason), layer, group, rows)
    excess = kurtosis(x)
    for measure, scalar in (
        ("condition-number", condition_number(values)),
        ("condition-number-90-10", percentile_condition_number(values)),
        ("kurtosis", Scalar(excess, undefined_reason(x) if math.isnan(excess) else NO_REASON)),
        ("intrinsic-dimension", intrinsic_dimension(x[rows.per_patient])),
    ):
        yield _layer_measurement(measure, scalar, layer, group, rows)
    yield from _spectrum(values, layer, group, rows, float(values.sum()))
    yield from _separations(x, layer, group, rows)


def _spectrum(
    values: np.ndarray, layer: str, group: str, rows: _Rows, total: float, measure: str = "eigenvalue-share"
) -> Iterator[Measurement]:
    """Yield the eigenvalues at the ranks 1, 2, 4, 8 and so on, as shares of the variance `total`."""
    for rank in (2**i for i in range(int(np.count_nonzero(values)).bit_length())):
        share = Scalar(float(values[rank - 1]) / total)
        yield _layer_measurement(measure, share, layer, group, rows, level=str(rank))


def _separations(x: np.ndarray, layer: str, group: str, rows: _Rows) -> Iterator[Measurement]:
    """Yield the separation of the classes, then that of every factor's levels."""
    table = rows.table
    chance = 0.0 if len(np.unique(table.patient)) == len(table) else math.nan
    groupings = [
        ("class-separation", "", table.target),
        *(("factor-separation", f.name, _codes(f, table)) for f in table.factors),
    ]
    for measure, factor, codes in groupings:
        scalar = separation(x, codes, table.patient)
        yield _layer_measurement(measure, scalar, layer, group, rows, factor=factor, chance=chance)


def _codes(factor: Factor, table: FactorTable) -> np.ndarray:
    """Return a factor's levels, or its halves where it has none."""
    column = table.columns[factor.name]
    levels = levels_of(factor, column)
    return levels.of(column) if levels.names else np.full(len(table), -1)


def _cka_between_layers(first_layers: Layers, other_layers: Layers, group: str, rows: _Rows) -> Iterator[Measurement]:
    """Yield the CKA of all pairs of layers; of one network with itself each pair once."""
    matrix = cka_matrix(list(first_layers.values()), list(other_layers.values()))
    for i, first in enumerate(first_layers):
        for j, other in enumerate(other_layers):
            if first_layers is not other_layers or i < j:
                scalar = _similarity(float(matrix[i, j]), first_layers[first], other_layers[other])
                yield _layer_measurement("cka", scalar, first, group, rows, level=other, chance=0.0)


def _cka_to_untrained(x: np.ndarray, y: np.ndarray, layer: str, rows: _Rows) -> Measurement:
    """Return the CKA of a layer with the same layer before training."""
    scalar = _similarity(float(cka_matrix([x], [y])[0, 0]), x, y)
    return _layer_measurement("cka-to-untrained", scalar, layer, TRAINED, rows, chance=0.0)


def _similarity(value: float, x: np.ndarray, y: np.ndarray) -> Scalar:
    return Scalar(value, (undefined_reason(x) or undefined_reason(y)) if math.isnan(value) else NO_REASON)


def _layer_measurement(
    measure: str, scalar: Scalar, layer: str, group: str, rows: _Rows, **fields: str | float
) -> Measurement:
    """Return a measurement of a layer."""
    return Measurement(
        measure,
        scalar.value,
        environment=rows.environment,
        layer=layer,
        group=group,
        unit=MEASURES[measure].unit,
        n=len(rows.index) if scalar.n is None else scalar.n,
        patients=len(np.unique(rows.table.patient)),
        standard_error=scalar.error,
        contributions=scalar.contributions,
        reason=scalar.reason,
        **fields,  # pyright: ignore[reportArgumentType]
    )
