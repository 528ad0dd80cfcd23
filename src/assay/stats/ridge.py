"""Linear decoders by ridge regression, many at a time, that predict rows of other folds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from assay.stats.metrics import is_varying

PENALTIES = 10.0 ** np.arange(-3.0, 3.5, 0.5)
"""Penalties tried, in units of the mean eigenvalue of the features' Gram matrix."""


def cross_validated_predictions(
    features: Float[np.ndarray, "n d"], targets: Float[np.ndarray, "n c"], fold: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n c"]:
    """Predict each row by a decoder that is fitted on all other folds, for each of c columns of targets.

    Features are standardized by the fitting rows' mean and standard deviation; features that are constant there are
    left out. The penalty is chosen per column on the fitting rows by generalized cross-validation (Golub, Heath and
    Wahba 1979), which takes rows as independent. One eigendecomposition per fold, of the smaller Gram matrix, serves
    all columns and penalties; with fewer rows than features it is that of the rows (the dual form), and the answer the
    same. Constant features give the fitting rows' mean, a fold that holds every row gives 0.

    Examples:
        Each fold is predicted from the other, in which the value is twice the feature:

        >>> feature = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> cross_validated_predictions(feature, 2 * feature, np.array([0, 1, 0, 1])).round(1).tolist()
        [[0.0], [2.0], [4.0], [6.0]]
    """
    predicted = np.zeros((len(fold), targets.shape[1]))
    for number in np.unique(fold):
        is_held_out = fold == number
        predicted[is_held_out] = _ridge_predictions(
            features[~is_held_out], targets[~is_held_out], features[is_held_out]
        )
    return predicted


def _ridge_predictions(fitting: np.ndarray, targets: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Predict [m, c] by ridge regressions from `fitting` [n, d] to `targets` [n, c], at `tested` [m, d]."""
    if not len(fitting):
        return np.zeros((len(tested), targets.shape[1]))
    center, deviation = fitting.mean(axis=0, dtype=np.float64), fitting.std(axis=0, dtype=np.float64)
    varies = is_varying(fitting)
    z, t = ((x[:, varies] - center[varies]) / deviation[varies] for x in (fitting, tested))
    mean_target = targets.mean(axis=0)
    if not varies.any():
        return np.tile(mean_target, (len(tested), 1))
    eigenvalues, projection, energy, basis = _decompose(z, targets - mean_target, t)
    penalties = eigenvalues.mean() * PENALTIES
    best = penalties[
        _generalized_cross_validation(
            eigenvalues, energy, ((targets - mean_target) ** 2).sum(axis=0), penalties, len(z)
        ).argmin(axis=0)
    ]
    return mean_target + basis @ (projection / (eigenvalues[:, None] + best))


def _decompose(z: np.ndarray, y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Decompose the rows for ridge regression with any penalty.

    Returns:
        Eigenvalues e [r]; the projection of y [n, c] on the eigenvectors; its energy, such that a fit with penalty p
        explains the sum of energy x (2 / (e + p) - e / (e + p)^2); and the basis, such that basis @ (projection / (e +
        p)) predicts the rows of t.
    """
    if z.shape[1] <= z.shape[0]:
        eigenvalues, vectors = np.linalg.eigh(z.T @ z)
        projection = vectors.T @ (z.T @ y)
        return np.maximum(eigenvalues, 0), projection, projection**2, t @ vectors
    eigenvalues, vectors = np.linalg.eigh(z @ z.T)
    eigenvalues = np.maximum(eigenvalues, 0)
    projection = vectors.T @ y
    return eigenvalues, projection, eigenvalues[:, None] * projection**2, t @ (z.T @ vectors)


def _generalized_cross_validation(
    eigenvalues: np.ndarray, energy: np.ndarray, total: np.ndarray, penalties: np.ndarray, n: int
) -> np.ndarray:
    """Generalized cross-validation [penalties, c]: residual sum of squares over the squared degrees of freedom left."""
    shrunk = 1 / (eigenvalues + penalties[:, None])
    residual = total - (2 * shrunk - eigenvalues * shrunk**2) @ energy
    degrees_left = n - 1 - (eigenvalues * shrunk).sum(axis=1)
    return np.maximum(residual, 0) / np.maximum(degrees_left, 1e-9)[:, None] ** 2
