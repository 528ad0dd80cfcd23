"""Networks that were trained elsewhere: built by name, scaled as asked, alone or as an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError
from assay.core.registry import own_object
from assay.models.classifier import empty_network
from assay.models.ref import Inputs, Scaling, channels_of, log_odds_of, scaled_by, to_log_odds
from assay.models.weight_files import read_weights
from assay.models.weights import load_into
from assay.spec.document import mapping_of
from assay.spec.recipe import GivenSpec, RecipeSpec


class Ensemble(nn.Module):
    """The mean probability of several networks, as logits."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """Return logits whose probabilities are the mean of the members'."""
        logits = torch.stack([member(images) for member in self.members])
        single = logits.ndim == 2 or logits.shape[2] == 1
        return log_odds_of((logits.sigmoid() if single else functional.softmax(logits, dim=2)).mean(0))


def given_network(recipe: RecipeSpec, inputs: Inputs, files: Sequence[str] = ()) -> nn.Module:
    """Return the network of a recipe that was trained elsewhere, in evaluation mode.

    It takes images in [0, 1] and gives logits; the dotted names of its layers are its own.

    Args:
        recipe: The recipe, with `given`.
        inputs: The images that it takes and the number of classes.
        files: The weights, one file per member of an ensemble; without them those that its code sets.

    Raises:
        SpecError: The network cannot be built.
        WeightsError: A file does not fit the network.
    """
    given = recipe.given
    assert given is not None
    count = max(1, len(given.weights))
    members = [_member(given, inputs) if given.network else _exported(recipe, inputs) for _ in range(count)]
    for member, path in zip(members, files, strict=False):
        load_into(member, read_weights(Path(path)))
    return (Ensemble(members) if given.ensemble else members[0]).eval()


def scaling_of(network: nn.Module) -> Scaling | None:
    """Return the scaling in the config of a timm model; None for other modules, and for other channels."""
    config = mapping_of(getattr(network, "pretrained_cfg", None)) or {}
    mean, sd = (tuple(float(part) for part in config.get(key) or ()) for key in ("mean", "std"))
    return Scaling(mean, sd) if mean and len(mean) == len(sd) and channels_of(network) in (None, len(mean)) else None


def _exported(recipe: RecipeSpec, inputs: Inputs) -> nn.Module:
    return empty_network(recipe, channels=inputs.channels, size=inputs.size, classes=inputs.classes)


def _member(given: GivenSpec, inputs: Inputs) -> nn.Module:
    if ":" in given.network:
        factory, _ = own_object("network", given.network)
        made = factory()
        if not isinstance(made, nn.Module):
            raise SpecError(f"network '{given.network}' returned {type(made).__name__}; expected a torch.nn.Module")
    else:
        from assay.models.timm import whole_model  # a study that trains its models needs no timm

        made = whole_model(given.network, inputs.channels, inputs.size, inputs.classes)
    scaling = scaling_of(made) if given.preprocessing == "config" else None
    if scaling is not None:
        made.register_forward_pre_hook(scaled_by(scaling))
    if given.scores == "probabilities":
        made.register_forward_hook(to_log_odds)
    return made
