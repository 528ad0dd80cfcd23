"""Features from which a factor cannot be guessed: a guesser is trained, and its gradient reversed for the encoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.traits import Rows
from assay.data.dataset import Batch
from assay.recipes.losses.precision import widened, without_autocast
from assay.recipes.mitigations.mitigation import MitigatedObjective, Mitigation, Setting, groups_in
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is -strength times what comes back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reversed_gradient(values: Float[Tensor, "b d"], strength: float) -> Float[Tensor, "b d"]:
    """The same values; the gradient that flows back through them is multiplied by -strength."""
    return _Reversal.apply(values, strength)  # pyright: ignore[reportUnknownMemberType, reportReturnType, reportUnknownVariableType]


class Guesser(nn.Module):
    """One hidden layer from features (and the class, where it is told) to the levels of a factor."""

    def __init__(self, width: int, hidden: int, levels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, levels))

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b l"]:
        """Logits of the levels."""
        return self.layers(features)


class Adversarial(MitigatedObjective):
    """The recipe's loss + cross-entropy of guessing the factor from features whose gradient is reversed.

    Down the gradient the guesser learns to guess, and the encoder to leave it nothing to guess by. told: the number of
    classes where the guesser is told the class, else 0.
    """

    def __init__(
        self, inner: Objective, guesser: Guesser, *, levels: int, told: int, strength: float, ramp: float
    ) -> None:
        super().__init__(inner)
        self.guesser = guesser
        self.levels, self.told, self.strength, self.ramp = levels, told, strength, ramp

    def strength_at(self, progress: Progress) -> float:
        """lambda at a step: strength * (2 / (1 + exp(-ramp * share)) - 1), or strength where there is no ramp."""
        if self.ramp == 0:
            return self.strength
        return self.strength * (2 / (1 + math.exp(-self.ramp * progress.share)) - 1)

    def guess_loss(self, features: Float[Tensor, "b d"], batch: Batch, strength: float) -> Float[Tensor, ""]:
        """Mean cross-entropy of the guesses, in float32, its gradient with regard to the features reversed."""
        with without_autocast(features.device):
            seen = reversed_gradient(widened(features), strength)
            if self.told:
                told = nn.functional.one_hot(batch.target, self.told).to(seen.dtype)
                seen = torch.cat([seen, told], dim=1)
            return nn.functional.cross_entropy(self.guesser(seen), groups_in(batch) % self.levels)

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See the class."""
        own = self.inner.loss(outputs, batch, progress)
        return own + self.guess_loss(outputs.features, batch, self.strength_at(progress))


class DomainAdversarial(Mitigation):
    """Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016, with the factor as the domain.

    The paper assumes that domain and class are not tied: where they are, features without the factor are features
    without part of the class. `given_target` tells the guesser the class (as in Li et al., *Deep Domain Generalization
    via Conditional Invariant Adversarial Networks*, ECCV 2018), so that only what the class does not explain goes.
    Groups may be empty; what is guessed is the level alone.
    """

    group_labels: Rows = "training"
    needs_every_group = False

    def __init__(self, *, strength: float, ramp: float, hidden: int, given_target: bool) -> None:
        self.strength, self.ramp, self.hidden, self.given_target = strength, ramp, hidden, given_target

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> Adversarial:
        """The recipe's loss and the adversary's."""
        grouping, _ = setting.grouped()
        told, levels = context.classes if self.given_target else 0, len(grouping.levels)
        guesser = Guesser(context.width + told, self.hidden, levels)
        return Adversarial(inner, guesser, levels=levels, told=told, strength=self.strength, ramp=self.ramp)
