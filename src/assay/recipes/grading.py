"""Heads that give grades: from one or a few numbers per image to the probability of each grade of an ordered target.

What a head gives are log-probabilities of the grades, [b, k], which are logits like any other: every metric, loss and
probe takes them as it takes those of a linear head.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import optimize
from torch import Tensor, nn
from torch.nn import functional

from assay.core.traits import Readout
from assay.recipes.untyped import tensor_of

FIRST_CUT = 0.5
"""Between the grades 0 and 1, of a regression before its cuts are learned; each further cut is 1 higher."""
_NARROWEST = 1e-6
"""Between two thresholds, in log-odds: a grade that nothing speaks for keeps a probability above 0."""
_FLATTEST = 1e-3
"""The least slope of the log-odds in standard deviations of a score that says nothing of the grade, or the contrary."""


class GradeHead(nn.Module):
    """features [b, d] -> log-probabilities of the grades [b, k]. Each `readout` is a model of P(y > j), j < k - 1.

    `coral`: sigmoid(w . f + b_j) with one w, and thresholds b_j that fall with j by construction. The paper leaves them
    free and shows that they fall at the minimum; here they do at every step, so that no grade has a probability under
    0. Cao, Mirjalili and Raschka, *Rank consistent ordinal regression for neural networks*, PRL 2020.
    `corn`: P(y > j | y >= j) = sigmoid(w_j . f + b_j), whose products fall with j. Shi, Cao and Raschka, *Deep neural
    networks for rank-consistent ordinal regression based on conditional probabilities*, PAA 2023.
    `regression`: a score w . f + b on the scale of the grades, sigmoid(slope * (score - cut_j)); slope 1 and cuts
    halfway between the grades until `settle` learns them. A score is called the grade between whose cuts it lies.
    """

    slope: Tensor
    cuts: Tensor

    def __init__(self, readout: Readout, width: int, classes: int) -> None:
        super().__init__()
        self.readout = readout
        self.in_features, self.out_features = width, classes
        numbers = classes - 1 if readout == "corn" else 1
        self.linear = nn.Linear(width, numbers, bias=readout != "coral")
        if readout == "coral":
            self.thresholds = Thresholds(classes - 1)
        if readout == "regression":
            self.register_buffer("slope", torch.ones(()))
            self.register_buffer("cuts", FIRST_CUT + torch.arange(classes - 1.0))

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Log-probabilities, in float32 or wider."""
        given = self.linear(features)
        given = given if given.dtype == torch.float64 else given.float()
        if self.readout == "corn":
            return chained(given)
        if self.readout == "coral":
            return between(given + self.thresholds())
        return between(self.slope * (given - self.cuts))

    @torch.no_grad()
    def settle(self, features: Float[Tensor, "n d"], targets: Int[Tensor, "n"]) -> None:
        """Learn a regression's cuts from these rows; the other heads have none to learn."""
        if self.readout == "regression":
            score = self.linear(features.to(self.cuts.device))[:, 0]
            slope, cuts = learned_cuts(score.cpu().double().numpy(), targets.cpu().numpy(), self.out_features)
            self.slope.fill_(slope)
            self.cuts.copy_(tensor_of(cuts))


class Thresholds(nn.Module):
    """Log-odds that fall from the first to the last: [steps]. Drawn at 1 apart about 0."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(1))
        self.gaps = nn.Parameter(torch.empty(steps - 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every gap at 1: softplus(log(e - 1)) is 1."""
        with torch.no_grad():
            self.first.fill_(len(self.gaps) / 2)
            self.gaps.fill_(math.log(math.e - 1))

    def forward(self) -> Float[Tensor, "steps"]:
        """The thresholds."""
        falls = torch.cumsum(functional.softplus(self.gaps).clamp_min(_NARROWEST), dim=0)
        return torch.cat([self.first, self.first - falls])


def between(odds: Float[Tensor, "b j"]) -> Float[Tensor, "b k"]:
    """Log-probabilities of k = j + 1 grades from the log-odds of lying above each but the last, which fall.

    Of a grade between: sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), which loses no digits.
    """
    above, below = functional.logsigmoid(odds), functional.logsigmoid(-odds)
    gap = (odds[:, :-1] - odds[:, 1:]).clamp_min(_NARROWEST)
    middle = above[:, :-1] + below[:, 1:] + torch.log(-torch.expm1(-gap))
    return torch.cat([below[:, :1], middle, above[:, -1:]], dim=1)


def chained(odds: Float[Tensor, "b j"]) -> Float[Tensor, "b k"]:
    """Log-probabilities of k = j + 1 grades from the log-odds of going beyond each grade, given that it is reached."""
    beyond = torch.cumsum(functional.logsigmoid(odds), dim=1)
    reached = functional.pad(beyond, (1, 0))
    return torch.cat([reached[:, :-1] + functional.logsigmoid(-odds), beyond[:, -1:]], dim=1)


def learned_cuts(
    score: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"], classes: int
) -> tuple[float, Float[np.ndarray, " j"]]:
    """Slope and cuts of the logistic model P(y > j) = sigmoid(slope * (score - cut_j)), by maximum likelihood.

    The sum over images and cuts of the log-loss, beside it half of the squared slope per standard deviation of the
    score, and of each cut half an image above and half below at the mean score: a grade without images has a cut too,
    which is its neighbour's. Cuts never fall. A constant score keeps slope 1 and cuts halfway between the grades.
    """
    spread = float(score.std())
    if not spread > 0:
        return 1.0, FIRST_CUT + np.arange(classes - 1.0)
    standard = (score - score.mean()) / spread
    above = target[:, None] > np.arange(classes - 1)

    def loss_and_slope(theta: np.ndarray) -> tuple[float, np.ndarray]:
        slope, places = theta[0], theta[1:]
        odds = slope * standard[:, None] - places
        wrong = np.asarray((1 - 2 * above) * odds)
        loss = np.logaddexp(0, wrong).sum() + slope**2 / 2
        loss += (np.logaddexp(0, places) + np.logaddexp(0, -places)).sum() / 2
        residual = _sigmoid(odds) - above
        by_slope = (residual * standard[:, None]).sum() + slope
        by_place = -residual.sum(axis=0) + _sigmoid(places) - 0.5
        return float(loss), np.concatenate([[by_slope], by_place])

    start = np.concatenate([[1.0], np.zeros(classes - 1)])
    bounds = [(_FLATTEST, None), *[(None, None)] * (classes - 1)]
    found = optimize.minimize(loss_and_slope, start, jac=True, method="L-BFGS-B", bounds=bounds,
                              options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-9})  # fmt: skip
    slope, places = float(found.x[0]), np.maximum.accumulate(found.x[1:])
    return slope / spread, score.mean() + places * spread / slope


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))
