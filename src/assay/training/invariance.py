"""Mitigations that make a factor uninformative: adversaries, random interventions and mixup."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from assay.core.registry import Role, build, component
from assay.core.traits import MitigationTraits, Rows
from assay.data.dataset import Batch
from assay.models.classifier import Network, Outputs
from assay.shifts.intervention import Intervention, draw
from assay.training.augmentation import Augmentation, Draws
from assay.training.losses.classification import widened, without_autocast
from assay.training.mitigations import MitigatedObjective, Mitigation, Setting, groups_in
from assay.training.objective import LossContext, Objective, Progress

# Features from which a factor cannot be guessed: a guesser is trained, and its gradient reversed for the encoder.


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -strength."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reversed_gradient(values: Float[Tensor, "b d"], strength: float) -> Float[Tensor, "b d"]:
    """Return the same values; the gradient that flows back through them is multiplied by -strength."""
    return _Reversal.apply(values, strength)  # pyright: ignore[reportUnknownMemberType, reportReturnType, reportUnknownVariableType]


class Guesser(nn.Module):
    """One hidden layer from features (and the class, where it is given) to the levels of a factor."""

    def __init__(self, width: int, hidden: int, levels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, levels))

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b l"]:
        """Logits of the levels."""
        return self.layers(features)


class Adversarial(MitigatedObjective):
    """The recipe's loss + cross-entropy of a classifier of the factor on features whose gradient is reversed.

    By gradient descent the guesser learns to predict the factor, and the encoder to remove the information about it.

    Args:
        conditioned: The number of classes where the guesser is given the class, else 0.
    """

    def __init__(
        self, inner: Objective, guesser: Guesser, *, levels: int, conditioned: int, strength: float, ramp: float
    ) -> None:
        super().__init__(inner)
        self.guesser = guesser
        self.levels, self.conditioned, self.strength, self.ramp = levels, conditioned, strength, ramp

    def strength_at(self, progress: Progress) -> float:
        """lambda at a step: strength * (2 / (1 + exp(-ramp * share)) - 1), or strength where there is no ramp."""
        if self.ramp == 0:
            return self.strength
        return self.strength * (2 / (1 + math.exp(-self.ramp * progress.share)) - 1)

    def guess_loss(self, features: Float[Tensor, "b d"], batch: Batch, strength: float) -> Float[Tensor, ""]:
        """Mean cross-entropy of the guesses, in float32, its gradient with regard to the features reversed."""
        with without_autocast(features.device):
            seen = reversed_gradient(widened(features), strength)
            if self.conditioned:
                conditioned = nn.functional.one_hot(batch.target, self.conditioned).to(seen.dtype)
                seen = torch.cat([seen, conditioned], dim=1)
            return nn.functional.cross_entropy(self.guesser(seen), groups_in(batch) % self.levels)

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See the class."""
        own = self.inner.loss(outputs, batch, progress)
        return own + self.guess_loss(outputs.features, batch, self.strength_at(progress))


@component(
    "mitigation",
    "domain-adversarial",
    summary="features from which the factor cannot be guessed, by a reversed gradient (Ganin et al. 2016)",
)
class DomainAdversarial(Mitigation):
    """Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016, with the factor as the domain.

    The paper assumes that domain and class are not tied: where they are, features without the factor are features
    without part of the class. `given_target` tells the guesser the class (as in Li et al., *Deep Domain Generalization
    via Conditional Invariant Adversarial Networks*, ECCV 2018), to remove only variation that the class does not
    explain. Groups may be empty; only the level is predicted.
    """

    group_labels: Rows = "training"
    needs_every_group = False

    def __init__(
        self,
        *,
        strength: Annotated[
            float, Field(gt=0, le=100, description="lambda, the factor of the reversed gradient")
        ] = 1.0,
        ramp: Annotated[
            float,
            Field(
                ge=0,
                le=1000,
                description="lambda rises as 2 / (1 + exp(-ramp * share of the steps)) - 1; 0: whole from the "
                "first step",
            ),
        ] = 10.0,
        hidden: Annotated[
            int, Field(ge=1, le=8192, description="width of the one hidden layer that guesses the factor")
        ] = 64,
        given_target: Annotated[
            bool,
            Field(description="tell the guesser the class, so that only what the class does not explain is removed"),
        ] = False,
    ) -> None:
        self.strength, self.ramp, self.hidden, self.given_target = strength, ramp, hidden, given_target

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> Adversarial:
        """Return the recipe's loss and the adversary's."""
        grouping, _ = setting.grouped()
        conditioned, levels = context.classes if self.given_target else 0, len(grouping.levels)
        guesser = Guesser(context.width + conditioned, self.hidden, levels)
        return Adversarial(
            inner, guesser, levels=levels, conditioned=conditioned, strength=self.strength, ramp=self.ramp
        )


# An intervention put on training images at random, so that it says nothing of their class.


@dataclass(frozen=True)
class RandomIntervention:
    """An intervention as an augmentation: each image gets it with one probability, with parameters redrawn.

    Neither the class nor the content of the image matters. An image that shows it may get a second one.
    """

    name: str
    intervention: Intervention
    probability: float
    geometric: bool = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """chosen: bool [count]; key: int64 [count], all of one value, the seed of the parameters."""
        chosen = rng.random(count) < self.probability
        return {"chosen": chosen, "key": np.full(count, rng.integers(0, 2**62))}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Return the images, changed where chosen."""
        rows = np.arange(len(images))
        channels, height, width = images.shape[1:]
        shape, seed = (channels, height, width), int(draws["key"][0])
        drawn = draw(self.name, self.intervention, draws["chosen"], rows, seed, shape, draws.get("boxes"))
        return drawn.apply(images, rows)


@component(
    "mitigation",
    "confounder-augmentation",
    summary="an intervention put on training images at random, whatever their class",
)
class ConfounderAugmentation(Mitigation):
    """Breaks the tie between a marking and the class by putting the marking on images of every class.

    With probability q, images of a class whose share p of the rows bears it bear it with p + (1 - p) q: the difference
    between classes is multiplied by (1 - q). Only pixel interventions can be treated so. Uses no group labels.
    """

    def __init__(
        self,
        *,
        intervention: Annotated[
            Mapping[str, Any],
            Role("component", "intervention"),
            Field(description="a change to pixels with its arguments, such as {tag: {}}"),
        ],
        probability: Annotated[
            float, Field(gt=0, le=1, description="of an image to get it at a step, whatever it shows")
        ] = 0.5,
        version: Annotated[
            str, Role("code", "intervention"), Field(description="of the intervention's code, found when left out")
        ] = "",
    ) -> None:
        ((self.name, arguments),) = intervention.items()
        self.intervention = cast(Intervention, build("intervention", self.name, arguments))
        self.probability = probability

    def augmentations(self) -> tuple[tuple[str, Augmentation], ...]:
        """Return the intervention, before the recipe's own: it is moved and flipped with the image."""
        return ((f"confounder {self.name}", RandomIntervention(self.name, self.intervention, self.probability)),)


# Pairs of training images mixed with their labels.


class Mixed(MitigatedObjective):
    """The loss of images that are each mixed with another one of the batch, weighted like the images.

    The share of an image's own pixels, one for the batch, and its partner are drawn from torch's generator, which the
    loop seeds for each step.
    """

    def __init__(self, inner: Objective, alpha: float) -> None:
        super().__init__(inner)
        self.alpha = alpha
        self.share = 1.0
        self.partner: Tensor = torch.empty(0, dtype=torch.int64)

    def read(self, network: Network, batch: Batch) -> Outputs:
        """Run the network on mixed images in training mode, else as the inner loss does."""
        if not self.training:
            return self.inner.read(network, batch)
        alpha = torch.tensor(self.alpha, dtype=torch.float64)
        self.share = float(torch.distributions.Beta(alpha, alpha).sample())
        self.partner = torch.randperm(len(batch.images)).to(batch.images.device)
        mixed = self.share * batch.images + (1 - self.share) * batch.images[self.partner]
        return self.inner.read(network, replace(batch, images=mixed))

    def mitigated(self, outputs: Outputs, batch: Batch, progress: Progress) -> Float[Tensor, ""]:
        """See the class."""
        other = replace(batch, target=batch.target[self.partner])
        own, theirs = (self.inner.loss(outputs, one, progress) for one in (batch, other))
        return self.share * own + (1 - self.share) * theirs


@component(
    "mitigation",
    "mixup",
    MitigationTraits(needs_head=True),
    summary="training images mixed in pairs, with their labels (Zhang et al. 2018)",
)
class Mixup(Mitigation):
    """Zhang, Cisse, Dauphin and Lopez-Paz, *mixup: Beyond Empirical Risk Minimization*, ICLR 2018.

    As in the authors' code, one share for each batch, drawn from Beta(alpha, alpha), and the loss of both labels in
    place of soft labels: for cross-entropy the two are equal. Uses no group labels.
    """

    def __init__(
        self,
        *,
        alpha: Annotated[
            float, Field(gt=0, le=100, description="of the Beta distribution of shares; small: images are mixed little")
        ] = 0.2,
    ) -> None:
        self.alpha = alpha

    def objective(self, inner: Objective, context: LossContext, setting: Setting) -> Mixed:
        """Return the recipe's loss on mixed images."""
        return Mixed(inner, self.alpha)
