"""Embeddings of images by published networks, which are named and downloaded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError, WeightsError, unknown_name
from assay.data.dataset import Images
from assay.models.hub import hub_folder, load_pretrained
from assay.models.image_config import adjacent_config
from assay.models.initialization import require_published
from assay.models.ref import Scaling
from assay.models.timm import default_configuration

_BATCH = 64


@dataclass(frozen=True)
class Encoder:
    """A network without its classifier.

    Attributes:
        network: The network.
        scaling: Scaling of its input.
        side: Side of its input in pixels.
    """

    network: nn.Module
    scaling: Scaling
    side: int

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Return the features of images in [0, 1], which are resized to the side of its input."""
        colors = images.expand(-1, 3, -1, -1)
        sized = functional.interpolate(colors, (self.side, self.side), mode="bilinear", antialias=True)
        return _pooled_features(self.network(self.scaling(sized)))


def encode(name: str, images: Images) -> Float[np.ndarray, "n d"]:
    """Return the features of images by a network of timm, `timm:NAME`, or of transformers, `hf:OWNER/NAME`.

    Raises:
        SpecError: There is no such network in timm.
        WeightsError: Its weights are not in the cache and cannot be downloaded.
    """
    encoder = load_encoder(name)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder.network.to(device).eval()
    parts: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = images.read(np.arange(start, min(start + _BATCH, len(images))))
            parts.append(encoder(batch.to(device)).double().cpu().numpy())
    return np.concatenate(parts)


def load_encoder(name: str) -> Encoder:
    """Return a network by name. Raises as `encode` does."""
    library, _, model = name.partition(":")
    network, settings = _load_timm(model) if library == "timm" else _load_hub(model)
    if not settings.get("mean"):
        raise WeightsError(f"{name} states no scaling of its images: give the embeddings in a file")
    mean, sd = (tuple(map(float, settings[key])) for key in ("mean", "std"))
    return Encoder(network, Scaling(mean, sd), int(settings.get("input_size", (3, 224, 224))[-1]))


def _load_timm(model: str) -> tuple[nn.Module, dict[str, Any]]:
    if not timm.is_model(model):
        raise SpecError(unknown_name("timm network", model, timm.list_models()))
    blank = timm.create_model(model, pretrained=False, num_classes=0)  # pyright: ignore[reportUnknownMemberType]
    require_published(default_configuration(blank), "or give the embeddings in a file")
    network = timm.create_model(model, pretrained=True, num_classes=0)  # pyright: ignore[reportUnknownMemberType]
    return network, dict(default_configuration(network))


def _load_hub(model: str) -> tuple[nn.Module, dict[str, Any]]:
    try:
        folder = hub_folder(model)
    except WeightsError as error:
        raise WeightsError(f"{error}; connect once to fetch it, or give the embeddings in a file") from error
    network: nn.Module = load_pretrained(model, folder, "AutoModel")
    return network, adjacent_config(folder / "model")  # files of the hub are links, which would lead elsewhere


def _pooled_features(output: Any) -> Float[Tensor, "b d"]:
    """Return pooled features; of a network without pooling the mean over tokens or pixels."""
    if isinstance(output, Tensor):
        return output.flatten(1)
    if (pooled := getattr(output, "pooler_output", None)) is not None:
        return cast(Tensor, pooled).flatten(1)
    last = cast(Tensor, output.last_hidden_state)
    return last.mean(dim=(2, 3)) if last.ndim == 4 else last.mean(dim=1)
