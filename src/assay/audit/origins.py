"""Origins of models that were trained elsewhere, as users name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from assay.core.errors import SpecError
from assay.execution.jobs import TrainedModel
from assay.models.confined import MEMORY
from assay.models.formats import given_origin, is_bundle
from assay.models.process import ModelFile
from assay.models.ref import Facts, Model, Origin
from assay.study.records import Exported, stored_study, trained_model

Given = nn.Module | Callable[[np.ndarray], object] | str | Path
"""A model as a user names it: a module, a function, a file of weights or of ONNX, or the folder of a training run."""


@dataclass(frozen=True)
class OfTraining(Origin):
    """A trial or a source of a run folder, or an exported one. Its hash is the id of the training."""

    trained: TrainedModel | Exported
    kind = "training run"
    complete = True

    @property
    def name(self) -> str:
        """Name of the run folder and id of the training; of an exported network, the name of its folder."""
        root = self.trained.root.name
        return root if isinstance(self.trained, Exported) else f"{root} {self.trained.id}"

    @cached_property
    def loaded(self) -> Model:
        """The model on the CPU, with its thresholds."""
        return self.trained.load()

    @property
    def facts(self) -> Facts:
        """Size, channels and framing of the images that it was trained on."""
        if isinstance(self.trained, Exported):
            taken: Mapping[str, Any] = self.trained.values["input"]
        elif self.trained.unit == "trials":
            data, inputs = stored_study(self.trained.root).plan.spec.data, self.trained.inputs
            framing = {key: getattr(data, key) for key in ("fit", "crop_share", "resize")}
            steps = list(data.preprocessing)
            taken = {"size": inputs.size, "channels": inputs.channels, **framing, "preprocessing": steps}
        else:
            taken = {"size": self.trained.inputs.size, "channels": self.trained.inputs.channels, "fit": "pad"}
        kept = ("size", "fit", "crop_share", "resize", "preprocessing")
        channels = "gray" if taken["channels"] == 1 else "color"
        return Facts({"channels": channels, **{key: taken[key] for key in kept if taken.get(key)}})

    def network(self, device: str) -> nn.Module:
        """Return the trained network on a device."""
        return self.loaded.network.to(device)

    def _content(self) -> str:
        return self.trained.id


def origin_of(
    model: Given,
    factory: Callable[[], nn.Module] | None = None,
    *,
    weights: str | Path = "",
    trust: bool = False,
    limit: float = 0.0,
    memory: float = MEMORY,
    output: str = "",
) -> Origin:
    """Return the origin of a model that the user names. Further arguments are those of `formats.given_origin`.

    Args:
        memory: GB that the process of a model's file may take beyond its own size.

    Raises:
        SpecError: It is none of those that can be probed, or runs code that is not trusted.
        StoreError: It is a folder without a complete training.
        WeightsError: The file is missing or refused.
    """
    if factory is None and isinstance(model, str | Path):
        folder = Path(model).expanduser()
        if folder.is_dir() and not is_bundle(folder):
            return OfTraining(trained_model(Path(model)))
    if not 0 < memory < 1e6:
        raise SpecError(f"memory {memory:g}: expected a number of GB above 0, such as 8")
    origin = given_origin(model, factory, weights=weights, trust=trust, limit=limit, output=output)
    return replace(origin, memory=memory) if isinstance(origin, ModelFile) else origin
