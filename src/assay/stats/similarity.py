"""Similarity of models over pairs of seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

from assay.core.reasons import NO_REASON, Code, Reason
from assay.stats.compare import holm
from assay.stats.decisions import deciding_factors
from assay.stats.metrics import is_varying
from assay.stats.rows import CONFIDENCE, MIN_SEEDS, Row

# How alike two representations of the same images are: CKA without bias, linear and with a Gaussian kernel.
#
# A representation is a matrix [n, d] of finite numbers, a row per image; two that are compared have the same images in
# the same order. Every function is pure, in float64, 1 for a representation and a copy of it that is shifted, turned
# and scaled by one number, and NaN where `undefined_reason` says why. Units that are constant over the images are left
# out.

MIN_IMAGES = 4
"""Images that an unbiased HSIC needs."""
BLOCK_SIZE = 2**21
"""Numbers held at once while Gram matrices are gone through: 16 MB."""
EQUIDISTANT = 1e-10
"""Share of the squared Gram matrix below which what is left of it, once centered without bias, is rounding."""


def center(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n r"]:
    """The r units that vary over the images, in float64, without their mean and scaled to a mean square of 1 a row.

    r is 0 where none does; all are NaN where any activation is not finite. None of the measures here depends on mean or
    scale.

    Examples:
        >>> center(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()  # the second unit is constant
        [[-1.0], [1.0]]
    """
    if not np.isfinite(features).all():
        return np.full(features.shape, math.nan)
    varying_units = features[:, is_varying(features)].astype(np.float64)
    varying_units -= varying_units.mean(axis=0)
    return (
        varying_units / math.sqrt((varying_units**2).sum() / len(varying_units))
        if varying_units.size
        else varying_units
    )


def undefined_reason(features: Float[np.ndarray, "n d"]) -> Reason:
    """Return why a representation cannot be compared with any, if it cannot.

    Examples:
        >>> undefined_reason(np.arange(8.0).reshape(4, 2) ** 2) == NO_REASON
        True
        >>> str(undefined_reason(np.ones((4, 2))))
        '[{"code": "constant-layer"}]'
    """
    if len(features) < MIN_IMAGES:
        return Reason.of(Code.FEW_IMAGES, images=len(features), least=MIN_IMAGES)
    if not np.isfinite(features).all():
        return Reason.of(Code.NOT_FINITE_ACTIVATIONS)
    x = center(features)
    if not x.size:
        return Reason.of(Code.CONSTANT_LAYER)
    usable = bool(np.isfinite(_self_hsic(_squared_norms([x]), _gram_diagonals([x])))[0])
    return NO_REASON if usable else Reason.of(Code.EQUAL_DISTANCES)


def hsic(first: Float[np.ndarray, "n d"], other: Float[np.ndarray, "n e"]) -> float:
    """The Hilbert-Schmidt independence criterion with linear kernels, without bias (Song et al. 2012, their HSIC_1).

    Its expectation is the sum of the squared covariances of the units of both, whatever n (at least 4) and however many
    units there are: 0 for independent representations, so that it may be negative. In the squared units of both. NaN
    with fewer images.

    Examples:
        >>> x = np.array([[1.0], [1.0], [-1.0], [-1.0], [1.0], [-1.0], [0.0], [0.0]])
        >>> round(hsic(x, x), 4), round(hsic(2 * x, x), 4)  # in the squared units of both
        (0.7214, 2.8857)
    """
    _check_same_images([first], [other])
    if len(first) < MIN_IMAGES:
        return math.nan
    x, y = (features.astype(np.float64) - features.mean(axis=0, dtype=np.float64) for features in (first, other))
    products, _, _ = _squared_products([x], [y])
    return float(_unbiased_hsic(products, _gram_diagonals([x]), _gram_diagonals([y]))[0, 0])


def cka_matrix(
    representations: Sequence[Float[np.ndarray, "n _"]], others: Sequence[Float[np.ndarray, "n _"]]
) -> Float[np.ndarray, "a b"]:
    """Linear CKA (Kornblith et al. 2019) of every pair of representations, each HSIC term being unbiased.

    HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)), from -1 to 1: 0 in expectation for independent representations, and
    slightly negative as often as not, which is kept. The biased form nears 1 for any two layers of more units than
    images. NaN where either is undefined.

    Goes through the images' Gram matrices block by block, or through the units' covariances, whichever is cheaper, and
    holds a copy of the input in float64 and another 16 MB.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> other = np.random.default_rng(1).normal(size=(20, 3))
        >>> cka_matrix([x], [x, 2 * x[:, ::-1] + 1, other]).round(2).tolist()  # itself, turned and scaled, independent
        [[1.0, 1.0, -0.08]]
    """
    _check_same_images(representations, others)
    shape = (len(representations), len(others))
    if not all(shape) or len(representations[0]) < MIN_IMAGES:
        return np.full(shape, math.nan)
    xs, ys = [center(x) for x in representations], [center(y) for y in others]
    rows_x, rows_y = _gram_diagonals(xs), _gram_diagonals(ys)
    products, own_x, own_y = _squared_products(xs, ys)
    across = _unbiased_hsic(products, rows_x, rows_y)
    return across / np.sqrt(np.outer(_self_hsic(own_x, rows_x), _self_hsic(own_y, rows_y)))


# --- for many pairs of the same representations: vectors of length 1 whose inner product is the likeness ------------


def cka_vector(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " m"]:
    """The upper triangle of the Gram matrix, centered without bias (Székely and Rizzo 2014) and scaled to length 1.

    m is n (n - 1) / 2. The inner product of two is the entry of `cka_matrix`: with sums of rows and of all over the
    entries off the diagonal, that of the centered matrices is n (n - 3) times the unbiased HSIC. NaN where undefined.

    Examples:
        >>> x, y = (np.random.default_rng(seed).normal(size=(20, 3)) for seed in (0, 1))
        >>> vector = cka_vector(x)
        >>> len(vector), round(float(vector @ vector), 6)  # 20 * 19 / 2
        (190, 1.0)
        >>> bool(np.isclose(vector @ cka_vector(y), cka_matrix([x], [y])[0, 0]))
        True
    """
    if undefined_reason(features):
        return np.full(math.comb(len(features), 2), math.nan)
    x = center(features)
    return _centered_upper_triangle(x @ x.T)


def rbf_cka_vector(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " m"]:
    """The same as `cka_vector` with a Gaussian kernel; the inner product of two is RBF CKA.

    The kernel is exp(-d^2 / (2 median of d^2)), as in the code of Kornblith et al. 2019 with its threshold
    1; the median is over pairs of different images, where that code counts each image with itself. NaN where undefined,
    and where more than half of the pairs coincide.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> round(float(rbf_cka_vector(x) @ rbf_cka_vector(3 * x + 1)), 6)
        1.0
    """
    n = len(features)
    if undefined_reason(features):
        return np.full(math.comb(n, 2), math.nan)
    distances = squared_distances(center(features))
    median = float(np.median(distances[np.triu_indices(n, 1)]))
    if median == 0:
        return np.full(math.comb(n, 2), math.nan)
    return _centered_upper_triangle(np.exp(-distances / (2 * median)))


def _centered_upper_triangle(gram: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " m"]:
    """Center without bias and scale to length 1; the diagonal does not count. Overwrites its argument."""
    n = len(gram)
    np.fill_diagonal(gram, 0.0)
    rows = gram.sum(axis=1) / (n - 2)
    gram += rows.sum() / (n - 1) - rows[:, None] - rows
    upper = gram[np.triu_indices(n, 1)]
    return upper / np.linalg.norm(upper)


def squared_distances(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n n"]:
    """Compute squared Euclidean distances between all rows; below the rounding of their own squares they are 0.

    Examples:
        >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
        [[0.0, 25.0], [25.0, 0.0]]
    """
    square = (x**2).sum(axis=1)
    squares = square[:, None] + square - 2 * (x @ x.T)
    squares[squares < 1e-14 * square.max(initial=0.0)] = 0.0
    return squares


def _gram_diagonals(xs: Sequence[np.ndarray]) -> Float[np.ndarray, "layers n"]:
    """The diagonals of the Gram matrices."""
    return np.stack([np.einsum("nd,nd->n", x, x) for x in xs])


def _unbiased_hsic(
    products: Float[np.ndarray, "a b"], rows_x: Float[np.ndarray, "a n"], rows_y: Float[np.ndarray, "b n"]
) -> Float[np.ndarray, "a b"]:
    """HSIC_1 of every pair, from the squared products and the diagonals of the Gram matrices of centered features.

    With features centered every row of a Gram matrix sums to 0, so that without its diagonal k it sums to -k_i, and the
    three terms of Song et al.'s equation 5 come down to these.
    """
    n = rows_x.shape[1]
    ends = np.outer(rows_x.sum(axis=1), rows_y.sum(axis=1)) / ((n - 1) * (n - 2))
    return (products - n / (n - 2) * (rows_x @ rows_y.T) + ends) / (n * (n - 3))


def _self_hsic(itself: Float[np.ndarray, " a"], rows: Float[np.ndarray, "a n"]) -> Float[np.ndarray, " a"]:
    """HSIC of each representation with itself, NaN where there is nothing but rounding."""
    n = rows.shape[1]
    hsic_values = np.diagonal(_unbiased_hsic(np.diag(itself), rows, rows))
    return np.where(hsic_values * n * (n - 3) > EQUIDISTANT * itself, hsic_values, math.nan)


def _squared_norms(xs: Sequence[np.ndarray]) -> Float[np.ndarray, " a"]:
    """The squared Frobenius norm of each Gram matrix, by its smaller form."""
    return np.array([float(((x.T @ x if x.shape[1] <= len(x) else x @ x.T) ** 2).sum()) for x in xs])


def _squared_products(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The squared Frobenius norm of x'y of every pair [a, b], which is the inner product of their Gram matrices, and
    those of x'x [a] and y'y [b].
    """
    n = len(xs[0])
    wide_x, wide_y = sum(x.shape[1] for x in xs), sum(y.shape[1] for y in ys)
    if wide_x * wide_y <= n * (wide_x + wide_y + len(xs) * len(ys)) / 2:
        return np.array([[((x.T @ y) ** 2).sum() for y in ys] for x in xs]), _squared_norms(xs), _squared_norms(ys)
    across, own_x, own_y = np.zeros((len(xs), len(ys))), np.zeros(len(xs)), np.zeros(len(ys))
    step = max(1, min(n // 8, BLOCK_SIZE // ((len(xs) + len(ys)) * n)))  # an eighth: the part left of a block is saved
    for start in range(0, n, step):
        grams_x, grams_y = _gram_rows(xs, start, step), _gram_rows(ys, start, step)
        across += grams_x @ grams_y.T
        own_x += np.einsum("lm,lm->l", grams_x, grams_x)
        own_y += np.einsum("lm,lm->l", grams_y, grams_y)
    return across, own_x, own_y


def _gram_rows(xs: Sequence[np.ndarray], start: int, step: int) -> Float[np.ndarray, "layers m"]:
    """Some rows of every Gram matrix from the diagonal on. Entries right of the diagonal count twice, by symmetry."""
    products = np.stack([x[start : start + step] @ x[start:].T for x in xs])
    products[:, :, products.shape[1] :] *= math.sqrt(2)
    return products.reshape(len(xs), -1)


def _check_same_images(representations: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> None:
    counts = sorted({len(features) for features in (*representations, *others)})
    if len(counts) > 1:
        raise ValueError(
            f"representations of {counts[0]} and {counts[-1]} images: give rows of the same images in the same order"
        )


# Whether two recipes are less alike than their own seeds are, by any measure of how alike two models are.
#
# Two models of one recipe that differ in their seed differ too. So likeness between recipes is taken between models of
# different seeds, and compared with the likeness between different seeds of each recipe.

ALPHA = 1 - CONFIDENCE
MAX_SEEDS_OF_ALL_FLIPS = 15
"""Up to so many seeds all sign flips are gone through."""
ROUNDING = 1e-7
"""A standard error up to this is what activations in float32 leave: nothing varied."""


@dataclass(frozen=True, slots=True)
class SimilarityContrast:
    """Similarity of the models of two recipes, compared with that of the seeds of each.

    value: mean likeness of a model of a and one of b of another seed. within: of two seeds of a; against_within: of b.
    below: the mean of the two, less the value: how much less alike the recipes are than seeds alone; with its 95%
    interval, standard error, degrees of freedom and one-sided p. sign_flip_p, sign_flip_min_p: see
    `similarity_contrast`. reason: why there is no value, or no interval.

    Examples:
        >>> within = np.array([[1.0, 0.8, 0.9], [0.8, 1.0, 0.85], [0.9, 0.85, 1.0]])
        >>> likeness = similarity_contrast(np.full((3, 3), 0.5), within, within)
        >>> likeness.value, round(likeness.within, 2), round(likeness.below, 2)
        (0.5, 0.85, 0.35)
    """

    value: float
    within: float
    against_within: float
    below: float
    low: float = math.nan
    high: float = math.nan
    standard_error: float = math.nan
    df: float = math.nan
    p: float = math.nan
    sign_flip_p: float = math.nan
    sign_flip_min_p: float = math.nan
    seeds: int = 0
    reason: Reason = NO_REASON


def mean_between_seeds(similarity: Float[np.ndarray, "s s"]) -> float:
    """Return the mean over pairs of different seeds; NaN with fewer than two, or where a pair is undefined.

    Examples:
        >>> round(mean_between_seeds(np.array([[1.0, 0.4], [0.6, 1.0]])), 6)  # the diagonal does not count
        0.5
    """
    s = len(similarity)
    return float(similarity[~np.eye(s, dtype=bool)].mean()) if s > 1 else math.nan


def similarity_contrast(
    across: Float[np.ndarray, "s s"], within: Float[np.ndarray, "s s"], others: Float[np.ndarray, "s s"]
) -> SimilarityContrast:
    """Whether models of recipes a and b are less alike than seeds of a, and seeds of b, are among themselves.

    across: likeness of seed i of a to seed j of b; own, others: of two seeds of a, and of b; any measure that does not
    ask which model comes first. The diagonals are not looked at: two recipes share initial weights and batches at one
    seed, which no two seeds of a recipe do.

    `below` is the mean over pairs of seeds i < j of half of (own_ij + others_ij - across_ij - across_ji). It is 0 for
    every pair where both recipes give the same models, and 0 in expectation where they give models of the same law. For
    a measure that is an inner product, as CKA is of centered Gram matrices of length 1, it is half the squared distance
    between the mean matrices of the recipes, without bias (the MMD of Gretton et al. 2012, paired by seed).

    The standard error is the jackknife's over seeds, with s - 1 degrees of freedom; under 3 seeds there is none. On
    models of one law it errs on the wide side (docs/statistics.md). The sign-flip test swaps the recipes' models seed
    by seed, which turns the sign of a pair's term where one of its seeds is swapped; it does not decide: its least p is
    1 / 2^(s - 1).

    Examples:
        Models of one recipe have a similarity of 0.8 to 0.9, and models of the two recipes of 0.5:

        >>> within = np.array([[1.0, 0.8, 0.9], [0.8, 1.0, 0.85], [0.9, 0.85, 1.0]])
        >>> likeness = similarity_contrast(np.full((3, 3), 0.5), within, within)
        >>> round(likeness.below, 6), round(likeness.within, 6), likeness.p < 0.05  # 0.85 - 0.5
        (0.35, 0.85, True)
    """
    seeds = len(across)
    distance = (within + others - across - across.T) / 2
    contrast = SimilarityContrast(
        mean_between_seeds(across),
        mean_between_seeds(within),
        mean_between_seeds(others),
        mean_between_seeds(distance),
        seeds=seeds,
    )
    if seeds < MIN_SEEDS:
        code = Code.FEW_SEEDS_TO_COMPARE if seeds < 2 else Code.FEW_SEEDS
        return replace(contrast, reason=Reason.of(code, seeds=seeds, least=2 if seeds < 2 else MIN_SEEDS))
    if math.isnan(contrast.below):
        return replace(contrast, reason=Reason.of(Code.SOME_SEEDS_UNDEFINED))
    error = _jackknife(distance)
    if error <= ROUNDING:
        return replace(contrast, standard_error=error, reason=Reason.of(Code.NO_VARIATION_BETWEEN_SEEDS))
    reach = float(stdtrit(seeds - 1, 1 - ALPHA / 2)) * error
    flipped, least = _sign_flip(distance)
    return replace(
        contrast,
        low=contrast.below - reach,
        high=contrast.below + reach,
        standard_error=error,
        df=seeds - 1,
        p=float(stdtr(seeds - 1, -contrast.below / error)),
        sign_flip_p=flipped,
        sign_flip_min_p=least,
    )


def decide_similarity(family: Sequence[SimilarityContrast]) -> list[Row]:
    """Return for each similarity of a family the decision, with the interval and p that decided, after Holm.

    The test is one-sided: the interval of the level 1 - 2 alpha / k is above 0 where `beyond seeds` is decided.

    Examples:
        >>> within = np.array([[1.0, 0.8, 0.9], [0.8, 1.0, 0.85], [0.9, 0.85, 1.0]])
        >>> family = [similarity_contrast(np.full((3, 3), value), within, within) for value in (0.5, 0.85)]
        >>> [row["decision"] for row in decide_similarity(family)]
        ['beyond seeds', 'inconclusive']
    """
    p = np.array([likeness.p for likeness in family])
    adjusted: list[float] = holm(p).tolist()
    factors: list[float] = deciding_factors(p).tolist()
    halves = [
        -float(stdtrit(likeness.df, ALPHA / k)) * likeness.standard_error
        for likeness, k in zip(family, factors, strict=True)
    ]
    return [
        {
            "decision": "beyond seeds" if corrected < ALPHA else "inconclusive",
            "decision_level": 1 - 2 * ALPHA / factor,
            "decision_low": likeness.below - half,
            "decision_high": likeness.below + half,
            "decision_p": corrected,
        }
        for likeness, corrected, factor, half in zip(family, adjusted, factors, halves, strict=True)
    ]


def cohen_kappa(predicted: np.ndarray, other_predicted: np.ndarray) -> float:
    """Compute the agreement of two models' calls beyond chance, up to 1: (agreed - expected) / (1 - expected).

    `expected` is the agreement of calls made as often and at random. Independent calls give 0, those that agree less a
    negative value.

    Args:
        predicted: Class codes [n].
        other_predicted: Class codes of the same images.

    Returns:
        Kappa; NaN without images, and where both call all images the same class.

    References:
        Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 1960.

    Examples:
        Three of four calls agree, where 0.5 are expected to:

        >>> cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))  # (0.75 - 0.5) / (1 - 0.5)
        0.5
    """
    if not len(predicted):
        return math.nan
    expected = sum(
        float((predicted == label).mean() * (other_predicted == label).mean()) for label in np.unique(predicted)
    )
    return (float((predicted == other_predicted).mean()) - expected) / (1 - expected) if expected < 1 else math.nan


def _jackknife(distances: Float[np.ndarray, "s s"]) -> float:
    """The standard error of the mean over pairs, from leaving out one seed at a time."""
    s = len(distances)
    rows = np.where(np.eye(s, dtype=bool), 0.0, distances).sum(axis=1)
    without = (rows.sum() - 2 * rows) / ((s - 1) * (s - 2))
    return float(np.sqrt((s - 1) / s * ((without - without.mean()) ** 2).sum()))


def _sign_flip(distances: Float[np.ndarray, "s s"]) -> tuple[float, float]:
    """The share of swaps of seeds under which the recipes are at least as far apart; and the least it can be."""
    s = len(distances)
    if s > MAX_SEEDS_OF_ALL_FLIPS:
        return math.nan, math.nan
    signs = 1.0 - 2.0 * np.indices((2,) * (s - 1)).reshape(s - 1, -1).T  # swapping all changes nothing
    signs = np.concatenate([np.ones((len(signs), 1)), signs], axis=1)
    off = np.where(np.eye(s, dtype=bool), 0.0, distances)
    flipped = np.einsum("fi,ij,fj->f", signs, off, signs)
    return float((flipped >= off.sum() - 1e-12 * np.abs(off).sum()).mean()), 1 / len(signs)
