"""Origins of models that were trained elsewhere, as users name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from assay.audit.request import ModelRequest
from assay.core.errors import SpecError
from assay.core.files import at_home
from assay.core.registry import code_trusted
from assay.execution.jobs import TrainedModel
from assay.models.external import CommandModel
from assay.models.formats import given_origin, is_bundle, names_library
from assay.models.process import ModelFile
from assay.models.ref import Model, ModelFacts, Origin
from assay.models.weight_files import refuse_other_format
from assay.store.folder import RunFolder
from assay.study.records import ExportedTraining, class_names, stored_study, trained_model


@dataclass(frozen=True)
class TrainedOrigin(Origin):
    """A trial or a source of a run folder, or an exported one. Its hash is the id of the training.

    Attributes:
        trust: Whether code from outside Assay that its folder names may run.
    """

    trained: TrainedModel | ExportedTraining
    trust: bool = False
    kind = "training run"
    complete = True

    @property
    def name(self) -> str:
        """Name of the run folder and id of the training; of an exported network, the name of its folder."""
        root = self.trained.root.name
        return root if isinstance(self.trained, ExportedTraining) else f"{root} {self.trained.id}"

    @cached_property
    def model(self) -> Model:
        """The model on the CPU, with its thresholds."""
        with code_trusted(self.trust):
            return self.trained.load()

    @property
    def facts(self) -> ModelFacts:
        """Size, channels and framing of the images that it was trained on, and their classes."""
        classes: Sequence[str] = ()
        if isinstance(self.trained, ExportedTraining):
            input_facts: Mapping[str, Any] = self.trained.values["input"]
            classes = (
                self.trained.values["output"]["classes"] if self.trained.values["task"] == "classification" else ()
            )
        elif self.trained.unit == "trials":
            with code_trusted(self.trust):
                data, inputs = stored_study(self.trained.root).plan.spec.data, self.trained.inputs
            framing = {key: getattr(data, key) for key in ("fit", "crop_share", "resize")}
            steps = list(data.preprocessing)
            input_facts = {"size": inputs.size, "channels": inputs.channels, **framing, "preprocessing": steps}
            if self.trained.recipe.task == "classification":
                classes = class_names(RunFolder(self.trained.root), inputs.classes)
        else:
            input_facts = {"size": self.trained.inputs.size, "channels": self.trained.inputs.channels, "fit": "pad"}
        keys = ("size", "fit", "crop_share", "resize", "preprocessing")
        channels = "gray" if input_facts["channels"] == 1 else "color"
        framing = {"channels": channels, **{key: input_facts[key] for key in keys if input_facts.get(key)}}
        return ModelFacts(framing, outputs=tuple(classes))

    def network(self, device: str) -> nn.Module:
        """Return the trained network on a device."""
        return self.model.network.to(device)

    def _content(self) -> str:
        return self.trained.id


def origin_of(request: ModelRequest) -> Origin:
    """Return the origin of the model that a request names.

    Raises:
        SpecError: It is none of those that can be probed, or runs code that is not trusted.
        StoreError: It is a folder without a complete training.
        WeightsError: The file is missing or refused.
    """
    model, memory = request.model, request.memory
    if request.command:
        return CommandModel(request.command, request.time_limit, memory)
    if request.factory is None and isinstance(model, str | Path) and not names_library(model):
        folder = at_home(model)
        if folder.is_dir() and not is_bundle(folder):
            refuse_other_format(folder)
            with code_trusted(request.trust):
                return TrainedOrigin(trained_model(Path(model)), request.trust)
    if not 0 < memory < 1e6:
        raise SpecError(f"memory {memory:g}: expected a number of GB above 0, such as 8")
    origin = given_origin(
        model,
        request.factory,
        weights=request.weights,
        trust=request.trust,
        limit=request.time_limit,
        output=request.output,
    )
    return replace(origin, memory=memory) if isinstance(origin, ModelFile) else origin
