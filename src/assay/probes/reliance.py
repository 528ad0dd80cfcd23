"""What a model uses: which factors its output depends on, by variance and by intervention."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from assay.core.types import Measurement, undefined
from assay.probes.counterfactuals import counterfactual_measurements
from assay.probes.outputs import log_odds, score_names
from assay.probes.probe import Model, Reading, Request, Scope
from assay.probes.sobol import SobolIndices, sobol_indices
from assay.shifts.environment import Scene, SobolDesign

GAP = 4.0
"""Halves of the samples that differ by more standard errors than this have not converged: 1 in 16,000 by chance."""


class Reliance:
    """Implements `Probe`. What is claimed is use: changing the factor changes the output.

    `sobol-first` and `sobol-total` (phantoms only, and where `sobol` asks for them): shares of the variance of the
    logit over a Saltelli design of independent inputs, `factor` naming the input, the last being the nuisance seed; n
    is the number of samples. A value whose standard error exceeds `tolerance`, or whose halves disagree, keeps its
    value and says "not converged" in `reason`. See `sobol_indices`.
    `flip-rate`, `logit-effect`, `logit-effect-absolute`: see `counterfactual_measurements`.

    A constant model gives NaN with the reason, and so do images of which nothing can be changed while all else is held.
    Conflict environments are read from `performance`.
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(self, *, samples: int = 1024, tolerance: float = 0.05, sobol: bool = True) -> None:
        self.samples = samples
        self.tolerance = tolerance
        self.sobol = sobol

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """The neutral rows and both ends of every factor that can be changed."""
        moved = (scene.counterfactual(factor, end) for factor in scene.changeable() for end in ("low", "high"))
        return (Request(scene.neutral()), *(Request(environment) for environment in moved))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Variance-based measures where there is a phantom, then interventions."""
        design = scene.sobol(self.samples) if self.sobol else None
        by_variance = [] if design is None else self._by_variance(reading, design, scene.classes)
        found = by_variance + counterfactual_measurements(reading, scene)
        return found or [undefined("logit-effect", "no phantom and no intervention: nothing can be changed alone")]

    def _by_variance(self, reading: Reading, design: SobolDesign, classes: tuple[str, ...]) -> list[Measurement]:
        scores = log_odds(reading.logits(design.images))
        found: list[Measurement] = []
        for column, level in enumerate(score_names(classes)):
            indices = sobol_indices(scores[:, column], design.samples)
            for position, name in enumerate(design.inputs):
                found += self._of_input(indices, position, name, level, design.samples)
        return found

    def _of_input(
        self, indices: SobolIndices | None, position: int, name: str, level: str, samples: int
    ) -> list[Measurement]:
        measures = ("sobol-first", "sobol-total")
        if indices is None:
            reason = "the output is constant over the design"
            return [undefined(measure, reason, factor=name, level=level) for measure in measures]
        values, errors = (indices.first, indices.total), (indices.first_error, indices.total_error)
        return [
            Measurement(
                measure,
                float(value[position]),
                factor=name,
                level=level,
                unit="share of variance",
                n=samples,
                standard_error=float(error[position]),
                chance=0.0,
                reason=self._doubt(float(error[position]), float(indices.gap[position])),
            )
            for measure, value, error in zip(measures, values, errors, strict=True)
        ]

    def _doubt(self, error: float, gap: float) -> str:
        if np.isnan(error) or error > self.tolerance:
            return f"not converged: standard error {error:.3f} exceeds {self.tolerance:g}"
        if gap > GAP:
            return f"not converged: the halves of the samples differ by {gap:.1f} standard errors"
        return ""
