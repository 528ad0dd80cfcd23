"""Take models that were trained elsewhere into a run folder, as if they had been trained there."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.core.errors import WeightsError
from assay.core.files import file_hash
from assay.core.registry import require_code
from assay.execution.device import computing_on
from assay.execution.jobs import PROVENANCE, Place, check_data, inputs_of, population_of, provenance
from assay.execution.tasks import Context
from assay.models.checkpoint import WEIGHTS_FILE, save_weights
from assay.models.given import given_network
from assay.models.ref import Model
from assay.models.untyped import tensor_of
from assay.probes.probe import Request
from assay.probes.reader import ModelReading
from assay.shifts.environment import Environment
from assay.spec.schema import DataSpec, GivenWeights, TrainingSpec
from assay.stats.maps import threshold_at
from assay.stats.measures import LEVELS, specific_thresholds
from assay.stats.metrics import macro_auroc
from assay.store.files import write_json
from assay.training.feed import youden_threshold


@dataclass(frozen=True)
class GivenJob:
    """Copies one model that was trained elsewhere; validation images set its thresholds.

    Attributes:
        place: The run folder and the cache.
        data: The images.
        training: The trial that it stands for.
        models: Its files, several of an ensemble.
        device: Device on which validation images are read.
    """

    place: Place
    data: DataSpec
    training: TrainingSpec
    models: tuple[GivenWeights, ...]
    device: str = "cpu"

    def __call__(self, context: Context) -> None:
        """See `Job`. Raises WeightsError where a file was changed since the study was planned, or does not fit."""
        require_code(self.place.code)
        folder, id, began = self.place.folder, self.training.id, time.time()
        if folder.complete("trials", id):
            return
        unit = folder.unit("trials", id)
        with computing_on(self.device):
            record = self._taken(context)
        write_json(unit / PROVENANCE, provenance(began, self.device))
        folder.write_record("trials", id, {"training": self.training.canonical(), **record})

    def _taken(self, context: Context) -> dict[str, Any]:
        population = population_of(self.data, self.place, self.device)
        check_data(population, self.training)
        given = self.training.recipe.given
        assert given is not None
        for model in self.models:
            if file_hash(Path(model.path)) != model.sha256:
                raise WeightsError(f"{model.path} was changed since this run began: run the same command again")
        network = given_network(
            self.training.recipe,
            inputs_of(population, self.data, self.training.recipe.task),
            [one.path for one in self.models],
        )
        context.report(0.5, "reading validation images")
        _, validation = population.training(self.training.environment, self.training.seed, self.training.fold)
        judged = self._judged(Model(network.to(self.device), device=self.device), validation)
        save_weights(network, self.place.folder.unit("trials", self.training.id) / WEIGHTS_FILE)
        return {
            "status": "done",
            "reason": "",
            "yardstick": math.nan,
            "scaling": given.preprocessing,
            "validation_images": len(validation),
            **judged,
        }

    def _judged(self, model: Model, validation: Environment) -> dict[str, Any]:
        """Return the thresholds that validation images set, as the record of a training has them."""
        read = ModelReading(model, [Request(validation)]).read(validation)
        target = validation.table.target
        if self.training.recipe.task == "segmentation":
            reached = [threshold_at(read.maps["lesion_score"], read.maps["floor"], level) for level in LEVELS]
            return {"threshold": None, "operating": [one.value for one in reached], "validation_auroc": None}
        found = macro_auroc(read.logits, target)
        return {
            "threshold": youden_threshold(tensor_of(read.logits), tensor_of(target)),
            "validation_auroc": found.value if found.defined else None,
            "specific": [list(specific_thresholds(read.logits, target, cut)) for cut in range(1, read.logits.shape[1])],
        }
